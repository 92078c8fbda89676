// Clips to search with: files that stay in this tab and are sent with each search, never stored.

const files = new Map();
let made = 0;

/** Keep a file and return its key, which an address may carry. */
export function keepClip(file) {
  made += 1;
  const key = `${Date.now().toString(36)}${made}`;
  files.set(key, file);
  return key;
}

/** The file of a key; null after a reload or in another tab. */
export function clipOf(key) {
  return files.get(key) || null;
}
