/** Teams one person may own: enough for every purpose, too few to fill a database. */
export const MAX_TEAMS_OWNED = 50;

/** Members a team may have. */
export const MAX_MEMBERS = 500;
