/** Of what is free, one caller may hold so many times as much: four fifths of all, and there is always room for another. */
const shareOfFree = 4;

/** Whether whoever holds `own` may take one more while so much is free. */
export const hasShare = (own: number, free: number): boolean => own < free * shareOfFree;

/** Whether what somebody holds is within its share; `free`: without it. */
export const isWithinShare = (own: number, free: number): boolean => own <= free * shareOfFree;
