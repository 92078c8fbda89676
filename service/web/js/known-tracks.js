// Tracks that the page has seen, so that a chip can name one by its id.

import { at, get } from "./api.js";
import { strings } from "./strings.js";

const MOST = 2000;
const known = new Map();
const asked = new Map();

export function titleOf(track) {
  return track.title || track.filename || strings.untitled;
}

export function remember(track) {
  known.delete(track.id);
  known.set(track.id, track);
  if (known.size > MOST) known.delete(known.keys().next().value);
}

export function knownTrack(id) {
  return known.get(id) || null;
}

/** The track, fetched once if it is not known; null where there is none. */
export async function findTrack(id) {
  if (known.has(id)) return known.get(id);
  if (!asked.has(id)) {
    asked.set(id, get(at("tracks", id)).then((track) => {
      remember(track);
      return track;
    }).catch(() => null).finally(() => asked.delete(id)));
  }
  return asked.get(id);
}
