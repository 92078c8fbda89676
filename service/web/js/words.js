// How words go together in a sentence.

export const plural = (n, one, many) => (n === 1 ? one : many);

/** ["a", "b", "c"] -> "a, b and c". */
export function named(names) {
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names.join("");
}
