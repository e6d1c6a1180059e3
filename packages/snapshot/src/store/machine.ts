/**
 * What a restore depends on, as facts with names: QEMU's version and build, accelerator, machine type, CPU model,
 * vCPUs, memory size, kernel, initramfs, disk size … Whoever makes generations decides which facts matter; device
 * state is loaded only where all of them are the same.
 */
export type MachineFacts = Readonly<Record<string, string | number | boolean>>;

/** One fact in which two machines differ; undefined where one of them does not have it. */
export interface MachineDifference {
  readonly fact: string;
  readonly recorded: string | number | boolean | undefined;
  readonly present: string | number | boolean | undefined;
}

/** What differs between the machine a generation was made on and the one it should be restored on, by name. */
export function compareMachine(recorded: MachineFacts, present: MachineFacts): MachineDifference[] {
  const facts = [...new Set([...Object.keys(recorded), ...Object.keys(present)])].toSorted();
  return facts
    .filter((fact) => recorded[fact] !== present[fact])
    .map((fact) => ({ fact, recorded: recorded[fact], present: present[fact] }));
}

/** The differences in words: `cpuModel was qemu64 and is max, vcpus was 2 and is 1`. */
export function describeDifferences(differences: readonly MachineDifference[]): string {
  const value = (fact: string | number | boolean | undefined) =>
    fact === undefined ? 'unknown' : String(fact);
  return differences
    .map(({ fact, recorded, present }) => `${fact} was ${value(recorded)} and is ${value(present)}`)
    .join(', ');
}
