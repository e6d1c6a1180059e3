/** One step of preparing the assets: started, skipped because it is done already, or done. */
export interface Progress {
  readonly step: string;
  readonly status: 'start' | 'progress' | 'skip' | 'done';
  readonly detail?: string;
  /** 0 to 100, where it can be told. */
  readonly percent?: number;
}

/** Told of every step. */
export type ProgressListener = (progress: Progress) => void;
