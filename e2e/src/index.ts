export { childrenWith, type ProcessMemory, processesWith, processMemory } from './support/processes.js';
export {
  assetsDir,
  freePort,
  freshDataDir,
  type Stack,
  type StackOptions,
  startStack,
} from './support/stack.js';
export { vmOf } from './support/vm.js';
