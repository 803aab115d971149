// Verifies a receipt offline: node examples/verify.mjs GENESIS RECEIPT [RECORD]
// Exit code 0: valid, 1: invalid, 2: could not check. Needs Node 18 or later and nothing else. Written from docs/design/receipt.md, whose
// steps are named here, and docs/design/ledger.md alone.
import { createHash, createPublicKey, verify as verifyEd25519 } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

class Invalid extends Error {}
class CouldNotCheck extends Error {}
const need = (holds, sentence) => { if (!holds) throw new Invalid(sentence); };
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const leafHash = (bytes) => sha256("\0", bytes);
const nodeHash = (left, right) => sha256("\x01", left, right);
const same = (left, right) => Buffer.compare(left, right) === 0;
const utf8 = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
const LARGEST = 2n ** 63n - 1n;

// JSON in which no name is twice in an object; there are as many colons outside of texts as names then.
function parseJson(bytes, name) {
  try {
    const text = utf8(bytes), value = JSON.parse(text);
    const outside = text.replace(/"(?:[^"\\]|\\.)*"/g, "");
    need(countNames(value) === outside.split(":").length - 1, "a name is there twice");
    return [value, /\d[.eE]/.test(outside)];
  } catch (error) {
    throw new Invalid(`${name} is not strict JSON: ${error.message}`);
  }
}
function countNames(value) {
  need(typeof value !== "string" || !/\p{Surrogate}/u.test(value), "half of a surrogate pair");
  if (typeof value !== "object" || value === null) return 0;
  return Object.values(value).reduce((count, item) => count + countNames(item), Array.isArray(value) ? 0 : Object.keys(value).length);
}
function parseWholeJson(bytes, name) {
  const [value, hasOtherNumbers] = parseJson(bytes, name);
  need(!hasOtherNumbers, `${name} has a number that is not a whole one`);
  return value;
}

// Deterministic CBOR. All that is read here are null, whole numbers, byte strings, texts, and maps whose keys are 0, 1, 2...: lists here.
function cborHead(major, argument) {
  const size = argument < 24n ? 0 : argument < 256n ? 1 : argument < 65536n ? 2 : argument < 2n ** 32n ? 4 : 8;
  const first = (major << 5) | (size ? 24 + Math.log2(size) : Number(argument));
  return Buffer.concat([Buffer.from([first]), Buffer.from(size ? argument.toString(16).padStart(2 * size, "0") : "", "hex")]);
}
const cborBytes = (bytes) => Buffer.concat([cborHead(2, BigInt(bytes.length)), bytes]);
const cborList = (items) => Buffer.concat([cborHead(4, BigInt(items.length)), ...items]);
function fromCbor(bytes, name) {
  let at = 0;
  const take = (size) => { need(at + size <= bytes.length, `${name} ends too early`); return bytes.subarray(at, (at += size)); };
  const item = (level) => {
    const start = at, first = take(1)[0], major = first >> 5, low = first & 31;
    if (first === 0xf6) return null;
    need([0, 2, 3, 5].includes(major) && low < 28 && level < 16, `${name} is CBOR of another kind`);
    const argument = low < 24 ? BigInt(low) : BigInt(`0x${take(1 << (low - 24)).toString("hex")}`);
    need(same(cborHead(major, argument), bytes.subarray(start, at)), `${name} is not deterministic CBOR`);
    if (major === 0) return argument;
    need(argument <= bytes.length, `${name} ends too early`);
    const numbered = (_, i) => { need(item(level + 1) === BigInt(i), `${name} has other fields`); return item(level + 1); };
    if (major === 5) return Array.from({ length: Number(argument) }, numbered);
    const content = take(Number(argument));
    try { return major === 2 ? content : utf8(content); } catch { throw new Invalid(`${name} has text that is not UTF-8`); }
  };
  const value = item(0);
  need(at === bytes.length, `${name} goes on after its end`);
  return value;
}

// Shapes: functions of (value, its name) that give what the value says. Whole numbers become BigInts.
const check = (holds, complaint) => (value, name) => { need(holds(value), `${name} ${complaint}`); return value; };
const any = (value) => value;
const text = (pattern) => check((value) => typeof value === "string" && pattern.test(value), "is malformed");
const bytesOf = (size) => check((value) => Buffer.isBuffer(value) && value.length === size, `is not ${size} bytes`);
const whole = (low, high) => (value, name) => {
  const isWhole = typeof value === "bigint" || Number.isSafeInteger(value);
  need(isWhole && value >= low && value <= high, `${name} is not a whole number from ${low} to ${high}`);
  return BigInt(value);
};
const orNull = (shape) => (value, name) => (value === null ? null : shape(value, name));
const hash = (value, name) => Buffer.from(text(/^[0-9a-f]{64}$/)(value, name), "hex");
const raw = (size) => (value, name) => {
  const bytes = Buffer.from(text(/^[A-Za-z0-9_-]*$/)(value, name), "base64url");
  need(bytes.toString("base64url") === value, `${name} is not unpadded base64url`);
  return size ? bytesOf(size)(bytes, name) : bytes;
};
const list = (shape) => (value, name) => check(Array.isArray, "is not a list")(value, name).map((item, i) => shape(item, `${name}[${i}]`));
const row = (...shapes) => (value, name) => {
  need(Array.isArray(value) && value.length === shapes.length, `${name} does not have ${shapes.length} fields`);
  return value.map((item, i) => shapes[i](item, `${name}[${i}]`));
};
const object = (shapes) => (value, name) => {
  need(typeof value === "object" && value !== null && !Array.isArray(value), `${name} is not an object`);
  for (const field of Object.keys(value)) need(Object.hasOwn(shapes, field), `${name} has a field "${field}" too many`);
  for (const field of Object.keys(shapes)) need(Object.hasOwn(value, field), `${name} lacks "${field}"`);
  return Object.fromEntries(Object.entries(shapes).map(([field, shape]) => [field, shape(value[field], `${name}.${field}`)]));
};
const number = whole(0n, 2n ** 53n - 1n), count = whole(1n, LARGEST), natural = whole(0n, LARGEST), hash32 = bytesOf(32);
const clientId = text(/^[a-z0-9][a-z0-9-]{0,99}$/);
const printable = text(/^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]{1,200}$/u);

// Ed25519. A key may be enrolled that is, in canonical form, a point of the main subgroup other than the identity.
const P = 2n ** 255n - 19n, ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (value) => ((value % P) + P) % P;
const power = (base, exponent) => (exponent === 0n ? 1n : mod(power(mod(base * base), exponent >> 1n) * (exponent & 1n ? base : 1n)));
const D = mod(-121665n * power(121666n, P - 2n));
function sum([x1, y1, z1, t1], [x2, y2, z2, t2]) { // in extended coordinates (RFC 8032, 5.1.4)
  const a = mod((y1 - x1) * (y2 - x2)), b = mod((y1 + x1) * (y2 + x2)), c = mod(2n * t1 * t2 * D), d = mod(2n * z1 * z2);
  return [mod((b - a) * (d - c)), mod((d + c) * (b + a)), mod((d - c) * (d + c)), mod((b - a) * (b + a))];
}
function isEnrollable(key) {
  const encoded = BigInt(`0x${Buffer.from(key).reverse().toString("hex")}`), y = encoded & (2n ** 255n - 1n);
  const square = mod((y * y - 1n) * power(D * y * y + 1n, P - 2n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x) !== square) x = mod(x * power(2n, (P - 1n) / 4n));
  if (y >= P || x === 0n || mod(x * x) !== square) return false; // x is 0 where the order is 1 or 2
  if ((x & 1n) !== encoded >> 255n) x = P - x;
  let multiple = [0n, 1n, 1n, 0n], point = [x, y, 1n, mod(x * y)];
  for (let rest = ORDER; rest; rest >>= 1n, point = sum(point, point)) if (rest & 1n) multiple = sum(multiple, point);
  return multiple[0] === 0n && multiple[1] === multiple[2];
}
const IDENTITY = Buffer.concat([Buffer.from([1]), Buffer.alloc(31)]);
const checked = new Map();
const key = (shape) => (value, name) => {
  const bytes = shape(value, name), hex = bytes.toString("hex");
  if (!checked.has(hex)) checked.set(hex, isEnrollable(bytes));
  need(checked.get(hex), `${name} is a key that may not be enrolled`);
  return bytes;
};
function isSigned(signer, message, signature) {
  const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), signer]);
  const r = signature.subarray(0, 32); // of a true signature never the identity; OpenSSL would take it
  return !same(r, IDENTITY) && verifyEd25519(null, message, createPublicKey({ key: spki, format: "der", type: "spki" }), signature);
}
const labelled = (label, chainId, message) => Buffer.concat([Buffer.from(`fhir-anchor/${label}/v1\0`), chainId, message]);

// Step 1: the genesis.
const ROLES = ["institution", "agency", "gateway"];
const PARTY = object({
  client_id: clientId, name: printable, role: text(/^(institution|agency|gateway)$/),
  signing_key: orNull(key(hash)), attestation_key: orNull(key(hash)),
});
function party({ role, signing_key: signing, attestation_key: attestation }, name) {
  need((signing || attestation) && !(signing && attestation && same(signing, attestation)), `${name} has no key or one twice`);
  need(role !== "gateway" || signing, `${name} is a gateway without a signing key`);
}
const differ = (values, name) => need(new Set(values).size === values.length, `${name} are not different`);
function readGenesis(bytes) {
  const json = parseWholeJson(bytes, "genesis"), isElected = json?.format === "fhir-anchor genesis 2";
  const slots = whole(1n, 2n ** 20n);
  const stakes = list(object({ holder: printable, key: key(hash), weight: whole(1n, 1000000n) }));
  const genesis = object({
    format: text(/^fhir-anchor genesis [12]$/), network: printable, started_at: whole(1n, 2n ** 40n), slot_seconds: whole(1n, 3600n),
    epoch_blocks: slots, heartbeat_slots: slots, delegates: list(object({ name: printable, key: key(hash) })), parties: list(PARTY),
    ...(isElected && { seats: whole(4n, 100n), stakes }),
  })(json, "genesis");
  need(genesis.delegates.length % 3 === 1, "genesis.delegates are not 3f+1");
  differ(json.delegates.map((one) => one.name), "names of delegates");
  differ(json.delegates.map((one) => one.key), "keys of delegates");
  differ(json.parties.map((one) => one.client_id), "client ids");
  differ(json.parties.map((one) => one.signing_key).filter(Boolean), "signing keys");
  genesis.parties.forEach((one, i) => party(one, `genesis.parties[${i}]`));
  need(genesis.parties.some((one) => one.role === "gateway"), "genesis.parties has no gateway");
  if (isElected) {
    differ(json.stakes.map((one) => one.holder), "holders");
    differ(json.stakes.map((one) => one.key), "keys of holders");
    need(genesis.seats % 3n === 1n && genesis.seats >= json.delegates.length, "genesis.seats is not 3f+1 and enough for the delegates");
    const total = genesis.stakes.reduce((total, stake) => total + stake.weight, 0n);
    need(total > 0n && total <= 1000000n, "genesis.stakes are none or too many");
  }
  return { ...genesis, isElected, chainId: sha256(bytes) };
}

// Steps 4 and 5: a header that is final by the set that acts after a height, and a handover to the next set.
const setHash = (set, chainId) => sha256(labelled("delegates", chainId, cborList(set.map(cborBytes))));
const HEADER = row(
  whole(1n, 2n), hash32, count, natural, natural, hash32, natural, hash32, bytesOf(33), hash32, hash32, hash32,
  check(Buffer.isBuffer, "is not bytes"),
);
function verifyFinal(bytes, votes, { genesis, set, after }, name) {
  const { chainId } = genesis;
  const [, chain, height, slot, time, , logSize, logRoot, , delegatesHash, nextHash, producer] = HEADER(fromCbor(bytes, name), name);
  need(same(chain, chainId), `${name} is of another chain`);
  need(height > after, `${name} is not after the last handover`);
  need(time === genesis.started_at + slot * genesis.slot_seconds, `${name} has not the time of its slot`);
  need(same(delegatesHash, setHash(set, chainId)), `${name} names other delegates than those that act`);
  need(set.some((one) => same(one, producer)), `${name} has a producer that does not act`);
  need(votes.length === ((set.length - 1) / 3) * 2 + 1, `${name} has ${votes.length} votes, not 2f+1`);
  const blockHash = sha256(labelled("block", chainId, bytes));
  const message = labelled("vote", chainId, cborList([cborHead(0, height), cborBytes(blockHash)]));
  votes.forEach(([delegate, signature], i) => {
    need(i === 0 || delegate > votes[i - 1][0], `${name} has votes that do not ascend`);
    const isValid = delegate < set.length && isSigned(set[delegate], message, signature);
    need(isValid, `${name} has a vote of delegate ${delegate} that is not valid`);
  });
  return { height, logSize, logRoot, nextHash };
}
function handOver({ genesis, set, after }, { header, votes, delegates }, name) {
  const { height, nextHash } = verifyFinal(header, votes, { genesis, set, after }, name);
  need(height % genesis.epoch_blocks === 0n, `${name} is not at the end of an epoch`);
  need(same(setHash(delegates, genesis.chainId), nextHash), `${name} has other delegates than its header names`);
  need(delegates.length % 3 === 1 && !same(nextHash, setHash(set, genesis.chainId)), `${name} does not lead to another 3f+1 delegates`);
  return { genesis, set: delegates, after: height };
}

// Paths by index and size (RFC 9162, 2.1.3.2) and by sides.
function rootByIndex(leaf, index, size, path, name) {
  need(index < size, `${name} has an index beyond its tree`);
  let root = leaf, node = index, last = size - 1n;
  for (const sibling of path) {
    need(last > 0n, `${name} has a path that is too long`);
    const isRight = (node & 1n) === 1n || node === last;
    root = isRight ? nodeHash(sibling, root) : nodeHash(root, sibling);
    while (isRight && !(node & 1n) && node) { node >>= 1n; last >>= 1n; }
    node >>= 1n; last >>= 1n;
  }
  need(last === 0n, `${name} has a path that is too short`);
  return root;
}
const parent = (root, [side, sibling]) => (side === "left" ? nodeHash(sibling, root) : nodeHash(root, sibling));
const rootBySides = (leaf, path) => path.reduce(parent, leaf);
const commit = (salt, bytes) => sha256("fhir-anchor/record-commitment/v1\0", salt, bytes);

// Steps 6 and 11: the body of a transaction that is signed by a gateway of the genesis and in the log of the header.
const TRANSACTION = row(whole(1n, 1n), count, any, count, hash32, bytesOf(64));
function verifyTransaction({ transaction, index, path }, kindWanted, genesis, header, name) {
  need(transaction.length <= 4096, `${name} is larger than a transaction`);
  const [, kind, body, , signer, signature] = TRANSACTION(fromCbor(transaction, name), name);
  need(kind === kindWanted, `${name} is a transaction of another kind`);
  const unsigned = Buffer.concat([Buffer.from([0xa5]), transaction.subarray(1, -67)]); // a map of five; field 5 is 1 + 2 + 64 bytes
  const isGateway = (one) => one.role === "gateway" && same(one.signing_key, signer);
  need(genesis.parties.some(isGateway), `${name} is not signed by a gateway of the genesis`);
  need(isSigned(signer, labelled("transaction", genesis.chainId, unsigned), signature), `${name} has a signature that is not valid`);
  const root = rootByIndex(leafHash(transaction), index, header.logSize, path, name);
  need(same(root, header.logRoot), `${name} is not in the log of the header`);
  return body;
}
function verifyAnchor(anchor, genesis, header) {
  const body = verifyTransaction(anchor, 2n, genesis, header, "anchor");
  const [, , root, bundles, leaves] = row(hash32, count, hash32, count, count)(body, "anchor");
  need(leaves >= bundles, "anchor has fewer leaves than bundles");
  return { root, bundles };
}

// Steps 9 to 12: who submitted the bundle.
const STATEMENT = object({ // in the order of the canonical bytes
  count, format: text(/^fhir-anchor submission 1$/), issuer: clientId, media_type: text(/^/), received_at: number, root: hash,
  signature: text(/^[^.]*\.[^.]*\.[^.]*$/), signed_by: text(/^(issuer|gateway)$/),
});
const keyOrNull = orNull(key(hash32));
const PARTY_BODY = row(whole(0n, 1n), clientId, printable, whole(1n, 3n), keyOrNull, keyOrNull);
function issuerOf(issuer, genesis, header, stated) {
  if (issuer === "genesis") return genesis.parties.find((one) => one.client_id === stated);
  const body = PARTY_BODY(verifyTransaction(issuer, 1n, genesis, header, "issuer"), "issuer");
  const registered = { client_id: body[1], name: body[2], role: ROLES[body[3] - 1n], signing_key: body[4], attestation_key: body[5] };
  party(registered, "issuer");
  return registered;
}
function verifySubmission({ statement: sealed, issuer }, bundleRoot, genesis, header) {
  need(sealed.path.every(([side]) => side === "right"), "statement is not the first leaf of its bundle");
  const root = rootBySides(leafHash(commit(sealed.salt, sealed.bytes)), sealed.path);
  need(same(root, bundleRoot), "statement is not in the bundle of the record");
  const json = parseWholeJson(sealed.bytes, "statement"), statement = STATEMENT(json, "statement");
  const canonical = JSON.stringify(Object.fromEntries(Object.keys(statement).map((field) => [field, json[field]])));
  need(same(Buffer.from(canonical), sealed.bytes), "statement is not canonical JSON");
  const from = issuerOf(issuer, genesis, header, statement.issuer);
  need(from?.client_id === statement.issuer, "issuer is not the party that the statement names");
  const isOwn = statement.signed_by === "issuer", signer = isOwn ? from.signing_key : from.attestation_key;
  need(signer, `issuer has no key for what is signed by the ${statement.signed_by}`);
  verifyJws(statement, signer);
  return `in a submission ${isOwn ? "signed by" : "attested by the gateway for"} ${from.name}`;
}
function verifyJws({ signature: jws, issuer, root, count: entries, received_at }, signer) {
  const parts = jws.split("."), [head, payload, signature] = row(raw(), raw(), raw(64))(parts, "statement.signature");
  const { kid } = object({ alg: text(/^EdDSA$/), kid: clientId })(parseWholeJson(head, "the JWS header"), "the JWS header");
  const signed = object({ iss: clientId, iat: number, count, root: hash })(parseWholeJson(payload, "the JWS payload"), "the JWS payload");
  const agrees = kid === issuer && signed.iss === issuer && signed.count === entries && same(signed.root, root);
  need(agrees, "the JWS says other than the statement");
  const apart = signed.iat - received_at;
  need(apart >= -600n && apart <= 600n, "the JWS was not made within 600 s of when the statement was received");
  need(isSigned(signer, Buffer.from(`${parts[0]}.${parts[1]}`), signature), "the JWS has a signature that is not valid");
}

// Step 13: the record itself.
function verifyRecord({ salt, commitment, reference }, bytes) {
  need(same(commit(salt, bytes), commitment), "record has other bytes than those that were committed to");
  const [json] = parseJson(bytes, "record");
  const said = [json?.resourceType, json?.id, json?.meta?.versionId];
  const isNamed = said.every((part) => typeof part === "string") && reference === `${said[0]}/${said[1]}/_history/${said[2]}`;
  need(isNamed, "record is not the one that record.reference names");
}

// Step 2: the fields of a full receipt and of a public one.
const hashes = list(hash), sides = list(row(text(/^(left|right)$/), hash)), votes = list(row(number, raw(64)));
const logged = object({ transaction: raw(), index: number, path: hashes });
const issuer = (value, name) => (value === "genesis" ? value : logged(value, name));
const REFERENCE = /^[A-Z][A-Za-z]{1,63}\/[A-Za-z0-9.-]{1,64}\/_history\/[A-Za-z0-9.-]{1,64}$/;
const receiptOf = (isFull) => object({
  format: text(/^fhir-anchor receipt 1$/), chain_id: hash, bundle: object({ index: number, size: number, path: hashes }), anchor: logged,
  record: object({ reference: text(REFERENCE), commitment: hash, path: sides, ...(isFull && { salt: raw(32) }) }),
  header: raw(), votes, handovers: list(object({ header: raw(), votes, delegates: list(key(hash)) })),
  ...(isFull && { statement: object({ bytes: raw(), salt: raw(32), path: sides }), issuer }),
});
function verifyReceipt(genesis, bytes, record) {
  need(bytes.length <= 2 ** 20, "receipt is larger than 1 MiB");
  const json = parseWholeJson(bytes, "receipt"), isFull = Object.hasOwn(json ?? {}, "statement");
  const receipt = receiptOf(isFull)(json, "receipt");
  need(same(receipt.chain_id, genesis.chainId), "receipt is of another chain");
  need(genesis.isElected || receipt.handovers.length === 0, "receipt has handovers where the delegates are fixed");
  const first = { genesis, set: genesis.delegates.map((delegate) => delegate.key), after: 0n };
  const acting = receipt.handovers.reduce((before, handover, i) => handOver(before, handover, `handovers[${i}]`), first);
  const header = verifyFinal(receipt.header, receipt.votes, acting, "header");
  const anchor = verifyAnchor(receipt.anchor, genesis, header);
  const bundleRoot = rootBySides(leafHash(receipt.record.commitment), receipt.record.path);
  need(receipt.record.path.some(([side]) => side === "left"), "record is the first leaf of its bundle, the statement's");
  const { index, size, path } = receipt.bundle;
  need(size === anchor.bundles, "bundle.size is not the ANCHOR's");
  need(same(rootByIndex(leafHash(bundleRoot), index, size, path, "bundle"), anchor.root), "bundle is not in the container of the ANCHOR");
  const submission = isFull ? verifySubmission(receipt, bundleRoot, genesis, header) : "who submitted it was not checked";
  if (record && !isFull) throw new CouldNotCheck("a public receipt has no salt, with which the record could be checked");
  if (record) verifyRecord(receipt.record, record);
  const compared = record ? "are those given" : "were not checked";
  return `${receipt.record.reference} accepted at height ${header.height}, ${submission}; its bytes ${compared}`;
}

/** Exit code and sentence; the arguments are the bytes of the files. */
export function verdict(genesisBytes, receiptBytes, recordBytes) {
  let genesis;
  try { genesis = readGenesis(genesisBytes); } catch (error) { return [2, `could not check: ${error.message}`]; }
  try {
    return [0, `valid: ${verifyReceipt(genesis, receiptBytes, recordBytes)}`];
  } catch (error) {
    return error instanceof Invalid ? [1, `invalid: ${error.message}`] : [2, `could not check: ${error.message}`];
  }
}
// Without the line's end that `fetch` and editors put after it: no record is served with one.
const without = (bytes, last) => (bytes.at(-1) === last ? bytes.subarray(0, -1) : bytes);
const asServed = (record) => without(without(record, 0x0a), 0x0d);
function main(paths) {
  if (paths.length < 2 || paths.length > 3) return [2, "usage: node verify.mjs GENESIS RECEIPT [RECORD]"];
  try {
    const [genesis, receipt, record] = paths.map((path) => readFileSync(path));
    return verdict(genesis, receipt, record && asServed(record));
  } catch (error) { return [2, `could not check: ${error.message}`]; }
}
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [code, sentence] = main(process.argv.slice(2));
  console.log(sentence);
  process.exitCode = code;
}
