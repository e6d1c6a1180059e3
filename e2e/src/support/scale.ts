/** How much larger than usual the repetitions and sizes are to be: DORMOUSE_E2E_SCALE, default 1. */
export const SCALE: number = Number(process.env.DORMOUSE_E2E_SCALE ?? '1');

export const MIB: number = 1024 * 1024;
