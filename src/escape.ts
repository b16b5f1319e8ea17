/** Showing what others wrote without letting it control the terminal. */

/**
 * Text that somebody else wrote (a tag, a media type, what a registry says), for messages and terminals: controls,
 * line ends and what turns the direction of writing round become `\\xNN`, byte by byte of their UTF-8.
 */
export function escapeControls(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) =>
    Buffer.from(c).toString('latin1').replaceAll(/./gs, escapeByte),
  )
}

/** One byte, given as the character of that number. */
export function escapeByte(byte: string): string {
  return `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`
}
