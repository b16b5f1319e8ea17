import { describe } from 'vitest'
import { describeFullDisk } from '../../support/full-disk.ts'

describe('with koffi, where it loads', describeFullDisk)
