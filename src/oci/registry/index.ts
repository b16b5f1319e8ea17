/**
 * Registries (OCI distribution specification): references, credentials, manifests and blobs.
 *
 * @packageDocumentation
 */
export { BlobStream } from './blob-stream.ts'
export { type CredentialOptions, type Credentials, findCredentials } from './credentials.ts'
export { RegistryDestination, type RegistryPushOptions } from './destination.ts'
export { resolveShortName } from './places.ts'
export { parseReference, type Reference, referenceText } from './reference.ts'
export { type Mirror, type RegistriesConfig, type RegistryRule, readRegistriesConfig } from './registries-conf.ts'
export { RegistryClient, type RegistryOptions } from './registry.ts'
export type { RetryNotice, RetryOptions } from './retry.ts'
export type { TransportOptions } from './transport.ts'
