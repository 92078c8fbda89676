// Doing something to many tracks: gathering them, changing them, and taking the change back.

import { get, post, withParams } from "./api.js";
import { openDialog } from "./dialogs.js";
import { button, el } from "./dom.js";
import { tracksParams } from "./library-state.js";
import { bulkForm } from "./metadata-form.js";
import { messageOf } from "./states.js";
import { strings } from "./strings.js";
import { toast } from "./toasts.js";

const MOST_AT_ONCE = 2000;
const PAGE = 200;
const UNDO_MS = 15000;

/** The chosen tracks, with what is known of them; those not shown yet are fetched. */
export async function gather(selection, shown, state) {
  if (!selection.everything) return shown.filter((track) => selection.has(track.id));
  const found = [];
  let cursor = null;
  do {
    const page = await get(withParams("/tracks", tracksParams(state, { limit: PAGE, cursor })));
    found.push(...page.items.filter((track) => selection.has(track.id)));
    cursor = page.next_cursor;
  } while (cursor);
  return found;
}

/** Set the same fields of all these tracks; the service takes so many in one call. */
async function setFields(tracks, set) {
  let changed = 0;
  for (let i = 0; i < tracks.length; i += MOST_AT_ONCE) {
    const ids = tracks.slice(i, i + MOST_AT_ONCE).map((track) => track.id);
    changed += (await post("/tracks/bulk/update", { ids, set })).changed;
  }
  return changed;
}

/** Give each track its old values again: tracks that had the same go together. */
async function setBack(tracks, names) {
  const groups = new Map();
  for (const track of tracks) {
    const set = Object.fromEntries(names.map((name) => [name, track[name] ?? null]));
    const key = JSON.stringify(set);
    groups.set(key, { set, tracks: [...(groups.get(key)?.tracks || []), track] });
  }
  for (const group of groups.values()) await setFields(group.tracks, group.set);
}

function tellChanged() {
  document.dispatchEvent(new CustomEvent("muquery:library"));
}

/** Ask what to change, change it, and offer to take it back. */
export async function editMany(tracks) {
  const changes = await openDialog(strings.edit.many(tracks.length), (close) => {
    const form = bulkForm();
    return {
      body: [el("p", { class: "hint" }, strings.edit.manyHelp), form.node],
      foot: [button({ onclick: () => close() }, strings.cancel),
        button({
          class: "primary",
          onclick: () => {
            const read = form.read();
            if (read) close(read);
          },
        }, strings.edit.save)],
    };
  });
  if (!changes || !Object.keys(changes).length) return;
  const names = Object.keys(changes);
  const message = toast(strings.edit.changing(tracks.length), { lastsMs: 3600000 });
  try {
    await setFields(tracks, changes);
  } finally {
    message.end();
    tellChanged();
  }
  toast(strings.edit.changed(tracks.length), {
    action: strings.undo,
    lastsMs: UNDO_MS,
    onAction: async () => {
      try {
        await setBack(tracks, names);
        toast(strings.edit.undone(tracks.length));
      } catch (failure) {
        toast(messageOf(failure), { bad: true });
      }
      tellChanged();
    },
  });
}
