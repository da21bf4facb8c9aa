// V8 as a driver, through node: `node node.mjs MODULE cpu|wall`.
import { readFileSync, readSync, writeSync } from "node:fs";

const [path, clock] = process.argv.slice(2);
let instance;
try {
    ({ instance } = await WebAssembly.instantiate(readFileSync(path), {}));
} catch (error) {
    // An older V8 does not know all instructions, for example.
    writeSync(1, `error V8 ${process.versions.v8} (node ${process.versions.node}): ${error.message}\n`);
    process.exit(1);
}

// Nanoseconds. Node has no clock of one thread: the threads that compile count too, if they are busy.
const now = () => {
    if (clock === "wall") return process.hrtime.bigint();
    const { user, system } = process.cpuUsage();
    return BigInt(user + system) * 1000n;
};

function answer(line) {
    // Names may have spaces.
    const space = line.lastIndexOf(" ");
    const [name, number] = [line.slice(0, space), line.slice(space + 1)];
    const call = instance.exports[name];
    if (typeof call !== "function") return "error there is no such function";
    try {
        const start = now();
        const result = call(Number(number));
        return `${result} ${now() - start}`;
    } catch (error) {
        return `error ${error.message}`;
    }
}

writeSync(1, `ready V8 ${process.versions.v8} (node ${process.versions.node})\n`);
const buffer = Buffer.alloc(4096);
let text = "";
for (;;) {
    const count = readSync(0, buffer);
    if (count === 0) break;
    text += buffer.toString("utf8", 0, count);
    for (let end; (end = text.indexOf("\n")) >= 0; text = text.slice(end + 1)) {
        writeSync(1, answer(text.slice(0, end)) + "\n");
    }
}
