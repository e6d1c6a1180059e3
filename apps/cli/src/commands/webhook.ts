import { DormouseError } from '@dormouse/errors';
import type { Webhook, WebhookDelivery } from '@dormouse/sdk';
import { type Command, Option } from 'commander';
import { type ConnectionFlags, wholeNumber, withConnection } from './options.js';

interface CreateFlags extends ConnectionFlags {
  readonly event?: readonly string[];
  readonly disabled?: boolean;
}

interface UpdateFlags extends ConnectionFlags {
  readonly url?: string;
  readonly event?: readonly string[];
  readonly allEvents?: true;
  readonly enable?: true;
  readonly disable?: true;
}

interface DeliveriesFlags extends ConnectionFlags {
  readonly limit: number;
}

/** Most deliveries one command shows. */
const MAX_DELIVERIES = 100_000;

export function addWebhook(program: Command): void {
  const webhook = program.command('webhook').description('whom the team tells of its events');

  withConnection(webhook.command('ls'))
    .alias('list')
    .description('list webhooks; for owners and admins, as all of these')
    .action(async (flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const webhooks: Webhook[] = [];
      for await (const one of connect(flags).webhooks.list()) webhooks.push(one);
      if (flags.json) return answerJson(webhooks);
      const rows = webhooks.map(({ id, url, events, enabled, failures }) => [
        id,
        enabled ? (failures === 0 ? 'ok' : `failed ${failures} times`) : 'disabled',
        events.length === 0 ? 'all' : events.join(' '),
        url,
      ]);
      answerTable(['ID', 'STATE', 'EVENTS', 'URL'], rows);
    });

  withConnection(webhook.command('create <url>'))
    .description('have events sent somewhere; prints the id and the secret, which is shown this once')
    .option('--event <type>', 'only these, e.g. sandbox.auto_paused; may be repeated', collect)
    .option('--disabled', 'send nothing yet')
    .action(async (url: string, { event, disabled, ...flags }: CreateFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const options = { events: event, enabled: disabled === true ? false : undefined };
      const created = await connect(flags).webhooks.create(url, options);
      if (flags.json) answerJson(created);
      else answerLine(`${created.id} ${created.secret}`);
    });

  withConnection(webhook.command('update <id>'))
    .description('change where events are sent, which, and whether')
    .option('--url <url>', 'send them there from now on')
    .option('--event <type>', 'only these; may be repeated', collect)
    .addOption(new Option('--all-events', 'all types again').conflicts('event'))
    .option('--enable', 'send events')
    .addOption(
      new Option('--disable', 'send nothing, and give up on all that is pending').conflicts('enable'),
    )
    .action(async (id: string, { url, event, allEvents, enable, disable, ...flags }: UpdateFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const events = allEvents === true ? [] : event;
      const enabled = disable === true ? false : enable;
      if (url === undefined && events === undefined && enabled === undefined)
        throw new DormouseError('invalid_request', 'say what to change', {
          suggestion: 'Give --url, --event, --all-events, --enable or --disable.',
        });
      const updated = await connect(flags).webhooks.update(id, { url, events, enabled });
      if (flags.json) answerJson(updated);
      else answerLine(updated.id);
    });

  withConnection(webhook.command('secret <id>'))
    .description('replace the secret; prints the new one, which is shown this once')
    .action(async (id: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const replaced = await connect(flags).webhooks.replaceSecret(id);
      if (flags.json) answerJson(replaced);
      else answerLine(replaced.secret);
    });

  withConnection(webhook.command('rm <id...>'))
    .description('delete webhooks')
    .action(async (ids: readonly string[], flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const client = connect(flags);
      for (const id of ids) {
        await client.webhooks.remove(id);
        if (!flags.json) answerLine(id);
      }
      if (flags.json) answerJson({ removed: ids });
    });

  withConnection(webhook.command('test <id>'))
    .description('send a ping now, and tell how that went; exits with 1 when it failed')
    .action(async (id: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const delivery = await connect(flags).webhooks.test(id);
      if (flags.json) answerJson(delivery);
      else answerLine(`${delivery.state}: ${outcome(delivery)}`);
      if (delivery.state !== 'delivered') process.exitCode = 1;
    });

  withConnection(webhook.command('deliveries <id>'))
    .description('list what was sent, newest first')
    .option('-n, --limit <count>', 'most deliveries to show', wholeNumber(1, MAX_DELIVERIES), 100)
    .action(async (id: string, { limit, ...flags }: DeliveriesFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerTable } = await import('../terminal/answer.js');
      const deliveries: WebhookDelivery[] = [];
      for await (const delivery of connect(flags).webhooks.deliveries(id)) {
        deliveries.push(delivery);
        if (deliveries.length === limit) break;
      }
      if (flags.json) return answerJson(deliveries);
      const rows = deliveries.map((delivery) => [
        delivery.id,
        delivery.createdAt,
        delivery.eventType,
        delivery.state,
        String(delivery.attempts),
        outcome(delivery),
        delivery.nextAttemptAt ?? '',
      ]);
      answerTable(['ID', 'WHEN', 'EVENT', 'STATE', 'ATTEMPTS', 'LAST', 'NEXT'], rows);
    });

  withConnection(webhook.command('retry <id> <delivery>'))
    .description('deliver once more what was given up')
    .action(async (id: string, deliveryId: string, flags: ConnectionFlags) => {
      const { connect } = await import('../connection.js');
      const { answerJson, answerLine } = await import('../terminal/answer.js');
      const delivery = await connect(flags).webhooks.retry(id, deliveryId);
      if (flags.json) answerJson(delivery);
      else answerLine(delivery.id);
    });
}

/** How the last attempt went. */
function outcome({ lastError, lastStatus, durationsMs }: WebhookDelivery): string {
  const tookMs = durationsMs.at(-1);
  const how = lastError ?? (lastStatus === null ? '' : `answered ${lastStatus}`);
  return tookMs === undefined ? how : `${how} after ${tookMs} ms`;
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
