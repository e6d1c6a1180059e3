/** The size of this terminal; that of a VT100 when there is none. */
export function terminalSize(): { cols: number; rows: number } {
  return { cols: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
}

/**
 * Passes every key on as it is, Ctrl-C included. The terminal is given back however this program ends.
 *
 * @returns gives it back
 */
export function enterRawMode(): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => {};
  const leave = (): void => {
    stdin.setRawMode(false);
  };
  stdin.setRawMode(true);
  process.on('exit', leave);
  return () => {
    process.off('exit', leave);
    leave();
  };
}
