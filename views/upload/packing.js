// Many files become one before they are sent. Streamlit's list draws every file again for every step of every other one:
// hundreds take minutes, and a folder is hundreds of lines. So a folder goes out as one zip, under the folder's name.
// The zip is stored, not compressed, and points to the files: the browser reads them while it sends them.

const MANY = 10; // files from which on they are packed
const MAX_ENTRIES = 65_000; // of a zip without its later extension
const MAX_BYTES = 4_000_000_000;

/** @type {Uint32Array} */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** @param {Uint8Array} bytes @returns {number} the checksum that a zip holds of a file */
function crc32(bytes) {
  let crc = 0xffffffff;
  for (let place = 0; place < bytes.length; place++) crc = CRC_TABLE[(crc ^ bytes[place]) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * @param {{path: string, file: File}[]} files
 * @param {string} name of the zip
 * @returns {Promise<File>}
 */
async function zip(files, name) {
  const parts = [], directory = [];
  let offset = 0;
  for (const { path, file } of files) {
    const encoded = new TextEncoder().encode(path);
    const crc = crc32(new Uint8Array(await file.arrayBuffer()));
    // version 2.0, names in UTF-8, stored, 1 January 1980: a zip tells nothing of the files but their names
    const common = [20, 0x0800, 0, 0, 0x21];
    const local = new DataView(new ArrayBuffer(30));
    const central = new DataView(new ArrayBuffer(46));
    local.setUint32(0, 0x04034b50, true);
    central.setUint32(0, 0x02014b50, true);
    central.setUint16(4, 20, true);
    for (const [view, start] of /** @type {[DataView, number][]} */ ([[local, 4], [central, 6]])) {
      common.forEach((value, index) => view.setUint16(start + 2 * index, value, true));
      view.setUint32(start + 10, crc, true);
      view.setUint32(start + 14, file.size, true);
      view.setUint32(start + 18, file.size, true);
      view.setUint16(start + 22, encoded.length, true);
    }
    central.setUint32(42, offset, true);
    parts.push(local.buffer, encoded, file);
    directory.push(central.buffer, encoded);
    offset += 30 + encoded.length + file.size;
  }
  const length = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, length, true);
  end.setUint32(16, offset, true);
  return new File([...parts, ...directory, end.buffer], name, { type: "application/zip" });
}

/**
 * The files to send for those that were chosen: a zip for each folder, and for loose files where they are many.
 *
 * @param {{path: string, file: File}[]} files
 * @param {string} loose name of the zip of files without a folder
 * @returns {Promise<File[]>}
 */
async function packed(files, loose) {
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  if (files.length < MANY || files.length > MAX_ENTRIES || size > MAX_BYTES) return files.map(({ file }) => file);
  /** @type {Map<string, {path: string, file: File}[]>} */
  const folders = new Map();
  for (const one of [...files].sort((first, second) => (first.path < second.path ? -1 : 1))) {
    const folder = one.path.includes("/") ? one.path.split("/")[0] : "";
    if (!folders.has(folder)) folders.set(folder, []);
    folders.get(folder).push(one);
  }
  const sent = [];
  for (const [folder, own] of folders) sent.push(await zip(own, `${folder || loose}.zip`));
  return sent;
}

/** @param {FileSystemEntry} entry @returns {Promise<{path: string, file: File}[]>} the files of a folder, or the file */
async function filesOf(entry) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise((done, fail) => /** @type {FileSystemFileEntry} */ (entry).file(done, fail));
    return [{ path, file }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, fail) => reader.readEntries(done, fail)); // a hundred at a time
    if (!some.length) return found;
    for (const one of some) found.push(...(await filesOf(one)));
  }
}

export default function ({ data, parentElement }) {
  const own = new WeakSet(); // events that this script sends
  const said = parentElement.ownerDocument.createElement("p");
  said.style.margin = "0";
  parentElement.replaceChildren(said);

  /** @param {HTMLInputElement} input @param {() => Promise<{path: string, file: File}[]>} list */
  async function replace(input, list) {
    said.textContent = data.packing;
    try {
      const sent = await packed(await list(), data.loose);
      const transfer = new DataTransfer();
      for (const file of sent) transfer.items.add(file);
      input.files = transfer.files;
      const event = new Event("change", { bubbles: true });
      own.add(event);
      input.dispatchEvent(event);
      said.textContent = "";
    } catch {
      said.textContent = data.unreadable;
    }
  }

  /** @param {Event} event @returns {HTMLInputElement | null} where files are chosen, if the event is there */
  const uploader = (event) =>
    /** @type {Element} */ (event.target).closest?.('[data-testid="stFileUploader"]')?.querySelector("input[type=file]");

  /** @param {Event} event */
  function chosen(event) {
    const input = uploader(event);
    if (!input || event.target !== input || own.has(event) || input.files.length < MANY) return;
    event.stopImmediatePropagation();
    const files = [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
    replace(input, async () => files);
  }

  /** @param {DragEvent} event */
  function dropped(event) {
    const input = uploader(event);
    const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!input || !(entries.length >= MANY || entries.some((entry) => entry.isDirectory))) return;
    event.preventDefault(); // else the browser would open the file
    event.stopImmediatePropagation();
    event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true })); // Streamlit's area hears of no drop
    replace(input, async () => (await Promise.all(entries.map(filesOf))).flat());
  }

  document.addEventListener("change", chosen, true); // before Streamlit's own listeners
  document.addEventListener("drop", dropped, true);
  said.dataset.packing = "ready"; // what a test of the browser waits for
  return () => {
    document.removeEventListener("change", chosen, true);
    document.removeEventListener("drop", dropped, true);
  };
}
