export { assertFollow, canFollow, FIRST_GENERATION, type LifecyclePosition, move } from './generation.js';
export {
  assertMove,
  canMove,
  isFinal,
  isSandboxState,
  isTransitional,
  movesFrom,
  SANDBOX_STATES,
  type SandboxState,
  takesCommands,
} from './sandbox-state.js';
