// Deleting with a way back: the service hears of it when the time for second thoughts is over.
//
// Until then nothing has happened to the library; the page only hides the tracks. What waits is
// noted in localStorage, so that a closed or crashed page leaves nothing half done in silence: on
// leaving, what waits is sent with a request that outlives the page, and whatever did not arrive is
// asked about when the page is next opened.

import { call } from "./api.js";
import { openDialog } from "./dialogs.js";
import { button, el } from "./dom.js";
import { titleOf } from "./known-tracks.js";
import { stopIfPlaying } from "./player.js";
import { messageOf } from "./states.js";
import { strings } from "./strings.js";
import { toast } from "./toasts.js";

const SECOND_THOUGHTS_MS = 8000;
// A request that outlives the page may carry 64 kB; this many ids fit well.
const MOST_AT_ONCE = 1500;
const NOTE = "muquery.deletions";
const BEAT_MS = 5000;
// A page that left sent its deletions: they have arrived after this, if ever.
const ARRIVED_MS = 5000;
// A page that crashed says nothing: it is gone when its note was not renewed for so long.
const ABANDONED_MS = 120000;

const batches = new Map();
const hidden = new Set();
let latest = null;

/** Whether a track is on its way out, and so not to be shown. */
export function isLeaving(id) {
  return hidden.has(id);
}

function tell() {
  document.dispatchEvent(new CustomEvent("muquery:leaving"));
}

function readNotes() {
  try {
    return JSON.parse(window.localStorage.getItem(NOTE)) || {};
  } catch {
    return {};
  }
}

function note(batch, left = false) {
  const notes = readNotes();
  if (batch.ids.length) notes[batch.name] = { ids: batch.ids, seen: Date.now(), left };
  else delete notes[batch.name];
  if (Object.keys(notes).length) window.localStorage.setItem(NOTE, JSON.stringify(notes));
  else window.localStorage.removeItem(NOTE);
}

/** Hide tracks at once and delete them a little later, unless the person takes it back. */
export function deleteLater(tracks) {
  const batch = { name: `${Date.now()}-${Math.random().toString(36).slice(2)}`, ids: tracks.map((track) => track.id) };
  batches.set(batch.name, batch);
  for (const track of tracks) {
    hidden.add(track.id);
    stopIfPlaying(track.id);
  }
  note(batch);
  batch.beat = window.setInterval(() => note(batch), BEAT_MS);
  const text = tracks.length === 1 ? strings.deletion.one(titleOf(tracks[0])) : strings.deletion.many(tracks.length);
  latest = toast(text, {
    action: strings.undo,
    onAction: () => takeBack(batch),
    onGone: () => commit(batch),
    lastsMs: SECOND_THOUGHTS_MS,
  });
  batch.toast = latest;
  tell();
}

/** Take back the deletion that was asked for last, if it still waits. */
export function undoLatest() {
  if (!latest) return false;
  latest.undo();
  latest = null;
  return true;
}

function finish(batch) {
  window.clearInterval(batch.beat);
  batches.delete(batch.name);
  if (latest === batch.toast) latest = null;
}

function takeBack(batch) {
  for (const id of batch.ids) hidden.delete(id);
  batch.ids = [];
  note(batch);
  finish(batch);
  tell();
}

/** One call for all of them: the service deletes every one or, if it fails, none. */
const sendDeletion = (ids, options) => call("POST", "/tracks/bulk/delete", { json: { ids }, ...options });

async function commit(batch) {
  if (latest === batch.toast) latest = null;
  while (batch.ids.length) {
    const ids = batch.ids.slice(0, MOST_AT_ONCE);
    try {
      await sendDeletion(ids);
    } catch (failure) {
      for (const id of batch.ids) hidden.delete(id);
      toast(strings.deletion.failed(batch.ids.length, messageOf(failure)), { bad: true });
      batch.ids = [];
      break;
    }
    batch.ids = batch.ids.slice(ids.length);
    note(batch);
  }
  note(batch);
  finish(batch);
  tell();
}

/** Send what waits with a request that the browser finishes after the page is gone. */
function sendOnLeave() {
  for (const batch of batches.values()) {
    // Whether it arrives cannot be known here; the note stays, and the next page compares.
    note(batch, true);
    sendDeletion(batch.ids.slice(0, MOST_AT_ONCE), { keepalive: true }).catch(() => {});
  }
}

/** On the next start: ask about deletions that a closed page may not have got across. */
export async function askAboutAbandoned(stillThere) {
  const isOld = ([name, entry]) => !batches.has(name)
    && Date.now() - entry.seen > (entry.left ? ARRIVED_MS : ABANDONED_MS);
  const notes = Object.entries(readNotes());
  const old = notes.filter(isOld);
  if (notes.some(([, entry]) => entry.left) && old.length < notes.length) {
    window.setTimeout(() => askAboutAbandoned(stillThere), ARRIVED_MS);
  }
  if (!old.length) return;
  const tracks = (await Promise.all(old.flatMap(([, entry]) => entry.ids).map(stillThere))).filter(Boolean);
  for (const [name] of old) note({ name, ids: [] });
  if (!tracks.length) return;
  const wanted = await openDialog(strings.deletion.abandonedTitle, (close) => ({
    body: [el("p", {}, strings.deletion.abandoned(tracks.length)),
      el("ul", {}, tracks.slice(0, 10).map((track) => el("li", {}, titleOf(track))))],
    foot: [button({ onclick: () => close() }, strings.keep),
      button({ class: "danger", onclick: () => close(true) }, strings.remove)],
  }));
  if (wanted) deleteLater(tracks);
}

window.addEventListener("pagehide", sendOnLeave);
// More than one request can carry: then the browser asks whether to leave.
window.addEventListener("beforeunload", (event) => {
  if ([...batches.values()].some((batch) => batch.ids.length > MOST_AT_ONCE)) event.preventDefault();
});
