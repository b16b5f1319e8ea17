/** How often something random is tried: COMPOSEFS_TEST_RUNS=10 tries ten times as much as usual. */
export function runs(usual: number): number {
  const factor = Number(process.env['COMPOSEFS_TEST_RUNS'] ?? 1)
  if (!(factor > 0)) throw new Error('COMPOSEFS_TEST_RUNS is to be a number above zero')
  return Math.max(1, Math.ceil(usual * factor))
}
