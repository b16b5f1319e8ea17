import { defineConfig, type ViteUserConfig } from 'vitest/config'

const project = (name: string, timeout: number) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: timeout, hookTimeout: timeout },
})

const { VITEST_JSON } = process.env

const config: ViteUserConfig = defineConfig({
  test: {
    // The default leaves one processor out: half of a small machine.
    maxWorkers: '100%',
    // The counts for a script, beside what people read.
    ...(VITEST_JSON !== undefined && { reporters: ['default', ['json', { outputFile: VITEST_JSON }]] }),
    projects: [
      project('unit', 60_000),
      project('property', 120_000),
      project('golden', 120_000),
      project('interop', 900_000),
      {
        extends: true as const,
        test: {
          name: 'types',
          include: [],
          typecheck: {
            enabled: true,
            only: true,
            include: ['test/types/**/*.test-d.ts'],
            tsconfig: 'test/types/tsconfig.json',
          },
        },
      },
    ],
  },
})

export default config
