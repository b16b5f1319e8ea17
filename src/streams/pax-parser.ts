/**
 * Tar records to entries: extension headers applied.
 *
 * @packageDocumentation
 */
import { type ByteString, fromLatin1, printable } from '../bytes.ts'
import { ComposefsError } from '../errors.ts'
import { makedev } from '../tree/inode.ts'
import { Xattrs } from '../tree/xattrs.ts'
import { PaxExtensions } from './pax-extensions.ts'
import type { End, EntryRecord, EntryType, Header, TarRecord } from './records.ts'
import { Slab } from './slab.ts'
import { type Emit, type Machine, Stage } from './stage.ts'
import { extensionOf, headerPath, type TarHeader, typeflags } from './tar-header.ts'
import { checkExtensionSize, checkLimit, type PaxParserOptions, warn } from './tar-options.ts'

/** The logic of {@link PaxParser}. Keeps copies of extension headers until their entry comes, and nothing else. */
export class PaxParserMachine implements Machine<TarRecord, EntryRecord> {
  readonly #options: PaxParserOptions
  readonly #slab = new Slab()
  /** What `data` and `end` belong to. */
  #inside: 'nothing' | 'entry' | 'extension' | 'global' = 'nothing'
  /** The extension headers of the next entry. */
  #extensions: PaxExtensions | undefined

  /** @throws {@link ComposefsError} `ERR_ARGUMENT` for a limit that is none. */
  constructor(options: PaxParserOptions = {}) {
    checkLimit('maxExtensionSize', options.maxExtensionSize)
    checkLimit('maxExtensionHeaders', options.maxExtensionHeaders)
    this.#options = options
  }

  push(record: TarRecord, emit: Emit<EntryRecord>): void {
    switch (record.kind) {
      case 'data':
        if (this.#inside === 'entry') emit(record)
        else if (this.#inside === 'global') emit({ kind: 'trailer', bytes: record.chunk })
        else if (!this.#extensions?.store(record.chunk)) throw outOfOrder('data')
        return
      case 'end':
        this.#end(record, emit)
        return
      case 'header': {
        if (this.#inside !== 'nothing') throw outOfOrder('header')
        const kind = extensionOf(record.header)
        if (kind === undefined) this.#entry(record, emit)
        else if (kind === 'g' && this.#extensions === undefined) this.#global(record, emit)
        else {
          this.#extensions ??= new PaxExtensions(record.offset, this.#options, this.#slab)
          this.#extensions.begin(record, kind)
          this.#inside = 'extension'
        }
        return
      }
      case 'trailer':
        if (this.#inside !== 'nothing') throw outOfOrder('trailer')
        if (this.#extensions === undefined) emit(record)
        else if (!this.#extensions.zeroBlock(record.bytes)) throw orphaned(this.#extensions)
        return
    }
  }

  finish(): void {
    if (this.#inside !== 'nothing') throw outOfOrder('end of input')
    if (this.#extensions !== undefined) throw orphaned(this.#extensions)
  }

  #end(record: End, emit: Emit<EntryRecord>): void {
    if (this.#inside === 'entry') emit(record)
    else if (this.#inside === 'global') {
      if (record.padding.length > 0) emit({ kind: 'trailer', bytes: record.padding })
    } else if (!this.#extensions?.store(record.padding) || !this.#extensions.end()) throw outOfOrder('end')
    this.#inside = 'nothing'
  }

  /** It has no effect on any entry, so nothing has to wait for it. */
  #global({ offset, block, header }: Header, emit: Emit<EntryRecord>): void {
    checkExtensionSize(header.bodySize, this.#options, offset, stage)
    this.#inside = 'global'
    emit({ kind: 'trailer', bytes: block })
  }

  #entry(record: Header, emit: Emit<EntryRecord>): void {
    const { header, block, offset } = record
    const extensions = this.#extensions
    const pax = extensions?.pax
    const path = pax?.sparseName ?? pax?.path ?? (extensions?.longName || headerPath(header))
    if (path === '') throw unnamed(offset)
    if (pax?.sparse !== undefined) throw sparse(path, pax.sparse, offset)
    const type = typeOf(header, path)
    if (type === 'unsupported') warn(this.#options, 'TAR_TYPE_UNKNOWN', offset, path)
    const isLink = type === 'symlink' || type === 'hardlink'
    const isDevice = type === 'character-device' || type === 'block-device'
    this.#extensions = undefined
    this.#inside = 'entry'
    emit({
      kind: 'entry',
      entry: {
        path,
        type,
        typeflag: header.typeflag,
        mode: header.mode & 0o7777,
        uid: pax?.uid ?? header.uid,
        gid: pax?.gid ?? header.gid,
        mtime: pax?.mtime?.seconds ?? header.mtime,
        mtimeNsec: pax?.mtime?.nanoseconds ?? 0,
        size: header.bodySize,
        rdev: isDevice ? makedev(header.deviceMajor, header.deviceMinor) : 0,
        linkTarget: isLink ? (pax?.linkPath ?? (extensions?.longLink || header.linkName)) : noTarget,
        xattrs: pax === undefined ? Xattrs.empty : Xattrs.of(pax.xattrs),
        offset: extensions?.offset ?? offset,
      },
      raw: extensions === undefined ? [block] : [...extensions.raw, block],
    })
  }
}

/**
 * Applies extension headers (PAX `x`, GNU `L` and `K`) to the entries that they belong to; their bytes become part of
 * the entry's `raw`. Names, targets and xattrs stay the bytes that they are.
 *
 * A PAX path is stronger than a GNU long name, and that than the header (spec: tar-layer, section 1). A global PAX
 * header (`g`) has no effect, as in the reference implementation; its bytes come as `trailer` records, as do zero
 * blocks between entries. Types that no image can hold pass as `unsupported`.
 *
 * Errors: `ERR_TAR_EXTENSION` (twice, or without an entry), `ERR_TAR_EXTENSION_SIZE`, `ERR_LIMIT`, `ERR_PAX_RECORD`,
 * `ERR_PAX_VALUE`, `ERR_TAR_NAME`, `ERR_TAR_SPARSE`, `ERR_TAR_STRICT`.
 *
 * @example
 * ```ts
 * import { createReadStream } from 'node:fs'
 * import { pipeline } from 'node:stream'
 * import { entries, PaxParser, TarDecoder } from 'composefs-streams/streams'
 *
 * const layer = pipeline(createReadStream('layer.tar'), new TarDecoder(), new PaxParser(), () => {})
 * for await (const { entry } of entries(layer)) entry.xattrs.size
 * ```
 */
export class PaxParser extends Stage<TarRecord, EntryRecord> {
  constructor(options: PaxParserOptions = {}) {
    super(new PaxParserMachine(options), { input: 'records', output: 'records' })
  }
}

const stage = 'PaxParser'
const noTarget = fromLatin1('')

function typeOf(header: TarHeader, path: ByteString): EntryType {
  switch (header.typeflag) {
    case typeflags.nul:
      // Before there was a type for directories, a slash at the end made one.
      return path.endsWith('/') ? 'directory' : 'file'
    case typeflags.file:
    case typeflags.contiguous:
      return 'file'
    case typeflags.directory:
      return 'directory'
    case typeflags.symlink:
      return 'symlink'
    case typeflags.hardlink:
      return 'hardlink'
    case typeflags.fifo:
      return 'fifo'
    case typeflags.characterDevice:
      // A V7 header has no device numbers.
      return header.format === 'v7' ? 'unsupported' : 'character-device'
    case typeflags.blockDevice:
      return header.format === 'v7' ? 'unsupported' : 'block-device'
  }
  return 'unsupported'
}

function sparse(path: ByteString, key: ByteString, offset: number): ComposefsError {
  return new ComposefsError('ERR_TAR_SPARSE', `an entry is a sparse file (${printable(key)})`, {
    stage,
    path: printable(path),
    offset,
    hint: 'make the archive again without --sparse',
  })
}

function unnamed(offset: number): ComposefsError {
  const hint = 'the archive is damaged there, or was made wrongly; make it again'
  return new ComposefsError('ERR_TAR_NAME', 'an entry has an empty name', { stage, offset, hint })
}

function orphaned({ offset }: PaxExtensions): ComposefsError {
  return new ComposefsError('ERR_TAR_EXTENSION', 'the archive ends after an extension header, before its entry', {
    stage,
    offset,
    hint: 'it was cut off, or made wrongly; fetch or make it again',
  })
}

function outOfOrder(kind: string): ComposefsError {
  return new ComposefsError('ERR_STREAM_ORDER', `${kind} came where no tar decoder puts it`, {
    stage,
    hint: 'put a TarDecoder directly before the PaxParser',
  })
}
