// Files that are many go out as one zip: Python's own zipfile reads it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const source = readFileSync(new URL("../../views/upload/packing.js", import.meta.url), "utf8");
const { crc32, packed } = new Function(`${source.replace("export default function", "function mount")}; return { crc32, packed };`)();
const files = (count, folder) =>
  Array.from({ length: count }, (_, index) => {
    const path = `${folder}IM${String(index).padStart(4, "0")} é.dcm`;
    return { path, file: new File([`pixels ${index}`], path.split("/").at(-1)) };
  });

test("the checksum is that of a zip", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
});

test("a few files are sent as they are", async () => {
  const sent = await packed(files(9, "study/"), "files");
  assert.deepEqual(sent.map((file) => file.name), files(9, "").map(({ path }) => path));
});

test("each folder is a zip of its name, and loose files are one", async () => {
  const sent = await packed([...files(7, "b/1/"), ...files(6, "a/"), ...files(2, "")], "files");
  assert.deepEqual(sent.map((file) => file.name), ["files.zip", "a.zip", "b.zip"]);
});

test("the zip holds every file under its path", async () => {
  const [sent] = await packed(files(12, "study/t1/").reverse(), "files");
  const program =
    "import io, sys, zipfile; packed = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())); " +
    "print(packed.testzip(), len(packed.namelist()), packed.namelist()[3], packed.read(packed.namelist()[3]).decode())";
  const done = spawnSync("python3", ["-X", "utf8", "-c", program], { input: Buffer.from(await sent.arrayBuffer()) });
  assert.equal(done.stdout.toString().trim(), "None 12 study/t1/IM0003 é.dcm pixels 3", done.stderr.toString());
});
