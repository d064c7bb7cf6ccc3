/** Two decimals, as all percentages of the contract. */
export const round2 = (value: number): number => Math.round(value * 100) / 100;
