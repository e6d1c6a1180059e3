import { expect, test } from 'vitest';
import { addressGroup, clientAddress } from './client-address.js';

test('X-Forwarded-For is not believed unless there are proxies', () => {
  expect(clientAddress('192.0.2.1', '203.0.113.9', 0)).toBe('192.0.2.1');
  expect(clientAddress('::ffff:192.0.2.1', undefined, 0)).toBe('192.0.2.1');
  expect(clientAddress(undefined, '203.0.113.9', 0)).toBeNull();
});

test('of what proxies have added, what the outermost one saw counts, whatever a client put before it', () => {
  expect(clientAddress('10.0.0.1', '203.0.113.9', 1)).toBe('203.0.113.9');
  expect(clientAddress('10.0.0.1', '1.1.1.1, 203.0.113.9', 1)).toBe('203.0.113.9');
  expect(clientAddress('10.0.0.1', '1.1.1.1, 203.0.113.9, 10.0.0.2', 2)).toBe('203.0.113.9');
  expect(clientAddress('10.0.0.1', '203.0.113.9', 2)).toBe('203.0.113.9');
  expect(clientAddress('10.0.0.1', '2001:DB8::1', 1)).toBe('2001:db8::1');
});

test('what is no address is not believed', () => {
  for (const forwarded of ['', 'unknown', '203.0.113.9:80', '1.1.1.1,', "'; drop table"]) {
    expect(clientAddress('10.0.0.1', forwarded, 1)).toBe('10.0.0.1');
  }
  expect(clientAddress('10.0.0.1', undefined, 1)).toBe('10.0.0.1');
});

test('addresses are counted by machine, those of IPv6 by network', () => {
  expect(addressGroup('192.0.2.1')).toBe('192.0.2.1');
  expect(addressGroup('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
  expect(addressGroup('2001:db8:0001:0002:ffff::1')).toBe('2001:db8:1:2::/64');
  expect(addressGroup('2001:db8::1')).toBe('2001:db8:0:0::/64');
  expect(addressGroup('::1')).toBe('0:0:0:0::/64');
  expect(addressGroup('fe80::1%eth0')).toBe('fe80:0:0:0::/64');
});
