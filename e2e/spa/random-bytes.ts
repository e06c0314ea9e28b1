// The guide imports Node's `crypto` in browser code; this stands in for it.

export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}
