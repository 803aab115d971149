// Verifies a receipt offline: `node examples/verify.mjs GENESIS RECEIPT [RECORD]`. Exit code 0: valid, 1: invalid, 2: could not check.
// Written from docs/design/receipt.md and docs/design/ledger.md alone, in their words and steps. It needs Node 20 or later and no package.
import { createHash, createPrivateKey, createPublicKey, diffieHellman, verify } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

class CouldNotCheck extends Error {}
const need = (holds, what) => { if (!holds) throw new Error(what); return true; };
const orCouldNotCheck = (step) => { try { return step(); } catch (error) { throw new CouldNotCheck(error.message); } };

// Hashes and trees
const sha256 = (...parts) => createHash("sha256").update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest();
const labelled = (label, chainId, ...message) => Buffer.concat([Buffer.from(`fhir-anchor/${label}/v1\0`), chainId, ...message]);
const commitmentOf = (salt, bytes) => sha256("fhir-anchor/record-commitment/v1\0", salt, bytes);
const leafHash = (bytes) => sha256("\0", bytes);
const nodeHash = (left, right) => sha256("\x01", left, right);
const rootBySides = (leaf, path) => path.reduce((at, { side, hash }) => (side === "left" ? nodeHash(hash, at) : nodeHash(at, hash)), leaf);
function rootByIndex(leaf, index, size, path) {
  if (size === 1n && index === 0n && path.length === 0) return leaf;
  need(index < size && size > 1n && path.length > 0, "a path does not fit its index and the size of its tree");
  const half = 1n << BigInt((size - 1n).toString(2).length - 1), below = path.slice(0, -1), sibling = path.at(-1);
  if (index < half) return nodeHash(rootByIndex(leaf, index, half, below), sibling);
  return nodeHash(sibling, rootByIndex(leaf, index - half, size - half, below));
}

// Keys and signatures
const P = 2n ** 255n - 19n, L = 2n ** 252n + 27742317777372353535851937790883648493n;
const power = (base, exponent) => (exponent ? (power((base * base) % P, exponent / 2n) * (exponent % 2n ? base : 1n)) % P : 1n);
const littleEndian = (number) => Buffer.from(number.toString(16).padStart(64, "0"), "hex").reverse();
const jwk = (crv, x, d) => ({ format: "jwk", key: { kty: "OKP", crv, x: x.toString("base64url"), d: d?.toString("base64url") } });
// 5L - 1 times a point is the opposite of its part in the main subgroup. X25519 multiplies so; the same u comes of no point outside.
function mayBeEnrolled(key) {
  const y = BigInt(`0x${Buffer.from(key).reverse().toString("hex")}`) % 2n ** 255n, u = littleEndian(((1n + y) * power(P + 1n - y, P - 2n)) % P);
  const pair = { privateKey: createPrivateKey(jwk("X25519", u, littleEndian(5n * L - 1n))), publicKey: createPublicKey(jwk("X25519", u)) };
  try { return y < P && diffieHellman(pair).equals(u); } catch { return false; } // OpenSSL throws where the product is of small order
}
// OpenSSL compares R with the bytes of S B - k A: for A in the main subgroup nothing else passes, but the identity does.
function verifySignature(key, message, signature, what) {
  const isIdentity = signature.subarray(0, 32).equals(littleEndian(1n));
  need(!isIdentity && verify(null, message, createPublicKey(jwk("Ed25519", key)), signature), `${what}: the signature does not hold`);
}

// JSON and CBOR. Of CBOR what transactions and headers use; a map, whose keys are always 0, 1, 2, ..., becomes the list of its values.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
function parseJson(bytes, isRecord = false) {
  const text = utf8.decode(bytes), bare = text.replace(/"(?:[^"\\]|\\.)*"/g, "");
  let members = -1; // the whole is no member
  const value = JSON.parse(text, function (_, inner) { members += !Array.isArray(this); return inner; });
  need(members === bare.split(":").length - 1, "the JSON has a name twice");
  return need(isRecord || !/\.|\d[eE]/.test(bare), "the JSON has a number that is not whole") && value;
}
function cborHead(major, number) {
  const width = number < 24n ? 0 : [1, 2, 4, 8].find((size) => number >> BigInt(8 * size) === 0n);
  const first = (32 * major + (width ? 24 + Math.log2(width) : Number(number))).toString(16).padStart(2, "0");
  return Buffer.from(first + (width ? number.toString(16).padStart(2 * width, "0") : ""), "hex");
}
function parseCbor(bytes) {
  let at = 0;
  const take = (size) => need(at + size <= bytes.length, "the CBOR is cut short") && bytes.subarray(at, (at += size));
  const item = () => {
    const first = take(1)[0], major = first >> 5, low = first & 31;
    const number = low < 24 ? BigInt(low) : BigInt(`0x${take(2 ** (low - 24)).toString("hex")}`), size = Number(number);
    need(cborHead(major, number)[0] === first, "the CBOR has a number longer than need be");
    if (major === 0) return number;
    if (major === 2) return take(size);
    if (major === 3) return utf8.decode(take(size));
    if (major === 5) return Array.from({ length: size }, (_, key) => need(item() === BigInt(key), "the CBOR has other keys") && item());
    return need(first === 0xf6, "the CBOR has something that no format here has") && null;
  };
  const value = item();
  return need(at === bytes.length, "the CBOR has bytes after it") && value;
}

// Readers: each takes a value of JSON or CBOR and its name, and gives what it says or throws an error that names it.
const such = (test, to = (value) => value) => (value, name) => need(test(value), name) && to(value);
const only = (read, test) => (value, name) => such(test)(read(value, name), name);
const either = (one, read) => (value, name) => (value === one ? one : read(value, name));
const oneOf = (...values) => such((value) => values.includes(value));
const text = (pattern, to) => such((value) => typeof value === "string" && pattern.test(value), to);
const isWhole = (value) => typeof value === "bigint" || Number.isSafeInteger(value);
const number = (from = 0n, to = 2n ** 63n - 1n) => such((value) => isWhole(value) && value >= from && value <= to, BigInt);
const octets = (size) => such((value) => Buffer.isBuffer(value) && value.length === (size ?? value.length));
const list = (read) => (values, name) => such(Array.isArray)(values, name).map((value, place) => read(value, `${name} ${place}`));
const row = (fields) => (values, name) => need(Array.isArray(values) && values.length === Object.keys(fields).length, name)
  && Object.fromEntries(Object.entries(fields).map(([field, read], place) => [field, read(values[place], `${name}.${field}`)]));
const hasExactly = (value, fields) => value && !Array.isArray(value) && `${Object.keys(value).sort()}` === `${Object.keys(fields).sort()}`;
const object = (fields) => (value, name) => need(hasExactly(value, fields), `${name} has other fields`)
  && row(fields)(Object.keys(fields).map((field) => value[field]), name);
const fromBase64 = (digits) => Buffer.from(String(digits), "base64url");
const raw = (size) => only(such((value) => fromBase64(value).toString("base64url") === value, fromBase64), octets(size));
const hash = text(/^[0-9a-f]{64}$/, (digits) => Buffer.from(digits, "hex"));

// Formats
const ROLES = ["institution", "agency", "gateway"];
const name = text(/^[^\0-\x1f\x7f-\x9f\u2028\u2029\p{Cs}]{1,200}$/u);
const clientId = text(/^[a-z0-9][a-z0-9-]{0,99}$/);
const reference = text(/^[A-Z][A-Za-z]{1,63}\/[A-Za-z0-9.-]{1,64}\/_history\/[A-Za-z0-9.-]{1,64}$/);
const key = only(hash, mayBeEnrolled);
const differ = (values) => new Set(values.map((value, place) => value?.toString("hex") ?? place)).size === values.length; // but null
const differIn = (...fields) => (all) => fields.every((field) => differ(all.map((one) => one[field])));
const canAct = (delegates) => delegates.length % 3 === 1 && differ(delegates);
const party = (role, key) => ({ client_id: clientId, name, role, signing_key: either(null, key), attestation_key: either(null, key) });
const hasItsKeys = ({ role, signing_key: signing, attestation_key: attestation }) =>
  signing ? !attestation?.equals(signing) : attestation && role !== "gateway";
const GENESIS = {
  format: oneOf("fhir-anchor genesis 1", "fhir-anchor genesis 2"), network: name, started_at: number(1n, 2n ** 40n),
  slot_seconds: number(1n, 3600n), epoch_blocks: number(1n, 2n ** 20n), heartbeat_slots: number(1n, 2n ** 20n),
  delegates: only(only(list(object({ name, key })), differIn("name", "key")), (all) => all.length % 3 === 1),
  parties: only(only(list(only(object(party(oneOf(...ROLES), key)), hasItsKeys)), differIn("client_id", "signing_key")),
    (all) => all.some(({ role }) => role === "gateway")),
};
const ELECTED = {
  ...GENESIS, seats: only(number(4n, 100n), (seats) => seats % 3n === 1n),
  stakes: only(only(list(object({ holder: name, key, weight: number(1n) })), differIn("holder", "key")),
    (all) => all.length > 0 && all.reduce((total, { weight }) => total + weight, 0n) <= 1_000_000n),
};
const HEADER = row({
  version: oneOf(1n, 2n), chain_id: octets(32), height: number(1n), slot: number(), time: number(), previous: octets(32),
  log_size: number(), log_root: octets(32), state_root: octets(33), delegates: octets(32), next_delegates: octets(32),
  producer: octets(32), voters: octets(),
});
const transaction = (kind, body) =>
  row({ version: oneOf(1n), kind: oneOf(kind), body, valid_until: number(1n), signer: octets(32), signature: octets(64) });
const COUNTS = { container: octets(32), bytes: number(1n), root: octets(32), bundles: number(1n), leaves: number(1n) };
const ANCHOR = transaction(2n, only(row(COUNTS), ({ bundles, leaves }) => leaves >= bundles));
const role = such((number) => ROLES[number - 1n], (number) => ROLES[number - 1n]);
const PARTY = transaction(1n, only(row({ action: oneOf(0n, 1n), ...party(role, only(octets(32), mayBeEnrolled)) }), hasItsKeys));
const SIDED = list(row({ side: oneOf("left", "right"), hash }));
const LOGGED = object({ transaction: raw(), index: number(), path: list(hash) });
const FINAL = { header: raw(), votes: list(row({ delegate: number(), signature: raw(64) })) };
const receiptFormat = (isFull) => object({
  format: oneOf("fhir-anchor receipt 1"), chain_id: hash, ...FINAL,
  record: object({ reference, commitment: hash, path: SIDED, ...(isFull && { salt: raw(32) }) }),
  bundle: object({ index: number(), size: number(), path: list(hash) }), anchor: LOGGED,
  handovers: list(object({ ...FINAL, delegates: only(list(key), canAct) })),
  ...(isFull && { statement: object({ bytes: raw(), salt: raw(32), path: SIDED }), issuer: either("genesis", LOGGED) }),
});
const STATEMENT = { // in the order of canonical JSON
  count: number(1n), format: oneOf("fhir-anchor submission 1"), issuer: clientId, media_type: text(/^\P{Cs}*$/u), received_at: number(1n),
  root: hash, signature: text(/^[^.]*\.[^.]*\.[^.]*$/), signed_by: oneOf("issuer", "gateway"),
};

// Steps
function readGenesis(bytes) {
  const value = parseJson(bytes), genesis = object(value.format === "fhir-anchor genesis 2" ? ELECTED : GENESIS)(value, "genesis");
  need(!genesis.seats || genesis.seats >= genesis.delegates.length, "genesis.seats are fewer than its delegates");
  return { ...genesis, id: sha256(bytes) };
}
function verifyFinal(genesis, { keys, since }, { header: bytes, votes }, what) {
  const header = HEADER(parseCbor(bytes), what);
  need(header.chain_id.equals(genesis.id) && header.height > since, `${what}: its chain_id or height`);
  need(header.time === genesis.started_at + header.slot * genesis.slot_seconds, `${what}: its time`);
  need(header.delegates.equals(hashOfSet(genesis, keys)) && keys.some((key) => key.equals(header.producer)), `${what}: others act`);
  need(votes.length === (2 * keys.length + 1) / 3, `${what}: how many votes it has`);
  const blockHash = sha256(labelled("block", genesis.id, bytes));
  const message = labelled("vote", genesis.id, cborHead(4, 2n), cborHead(0, header.height), cborHead(2, 32n), blockHash);
  votes.forEach(({ delegate, signature }, place) => {
    need(delegate < keys.length && (place === 0 || delegate > votes[place - 1].delegate), `${what}: who voted, in which order`);
    verifySignature(keys[delegate], message, signature, `${what}, vote of delegate ${delegate}`);
  });
  return header;
}
const hashOfSet = (genesis, keys) =>
  sha256(labelled("delegates", genesis.id, cborHead(4, BigInt(keys.length)), ...keys.flatMap((key) => [cborHead(2, 32n), key])));
function handOver(genesis, acting, handover) {
  const header = verifyFinal(genesis, acting, handover, "handover"), next = hashOfSet(genesis, handover.delegates);
  need(genesis.seats && header.height % genesis.epoch_blocks === 0n, "handover: not at the end of an epoch of elected delegates");
  need(next.equals(header.next_delegates) && !next.equals(header.delegates), "handover: its delegates");
  return { keys: handover.delegates, since: header.height };
}
// That a transaction has at most 4,096 bytes follows from the fields of those that are read here.
function verifyLogged(genesis, header, { transaction, index, path }, format, what) {
  const { body, signer, signature } = format(parseCbor(transaction), what), unsigned = [Buffer.of(0xa5), transaction.subarray(1, -67)];
  need(genesis.parties.some((party) => party.role === "gateway" && party.signing_key.equals(signer)), `${what}: signed by no gateway`);
  verifySignature(signer, labelled("transaction", genesis.id, ...unsigned), signature, what);
  need(rootByIndex(leafHash(transaction), index, header.log_size, path).equals(header.log_root), `${what}.path`);
  return body;
}
function verifyStatement(genesis, header, { statement: { bytes, salt, path }, issuer }, bundleRoot) {
  const leaf = leafHash(commitmentOf(salt, bytes));
  need(path.every(({ side }) => side === "right") && rootBySides(leaf, path).equals(bundleRoot), "statement.path");
  const value = parseJson(bytes), said = object(STATEMENT)(value, "statement"), isIssuers = said.signed_by === "issuer";
  need(bytes.equals(Buffer.from(JSON.stringify(value, Object.keys(STATEMENT)))), "statement.bytes: not canonical");
  const named = genesis.parties.find((one) => one.client_id === said.issuer);
  const party = issuer === "genesis" ? named : verifyLogged(genesis, header, issuer, PARTY, "issuer");
  need(party?.client_id === said.issuer, "issuer: another than the statement's");
  verifyJws(said, isIssuers ? party.signing_key : party.attestation_key);
  return `in a submission ${isIssuers ? "signed by" : "attested by the gateway for"} ${party.name}`;
}
function verifyJws({ signature: jws, issuer, count, root, received_at: receivedAt }, key) {
  const what = "statement.signature", [header, payload, signature] = jws.split(".").map((part) => raw()(part, what));
  object({ alg: oneOf("EdDSA"), kid: oneOf(issuer) })(parseJson(header), what);
  const claims = object({ iss: oneOf(issuer), iat: number(), count: number(count, count), root: hash })(parseJson(payload), what);
  need(claims.root.equals(root) && claims.iat >= receivedAt - 600n && claims.iat <= receivedAt + 600n, `${what}: its root or iat`);
  need(key && signature.length === 64, `${what}: its size, or the issuer has no such key`);
  verifySignature(key, Buffer.from(jws.slice(0, jws.lastIndexOf("."))), signature, what);
}
function verifyRecord({ reference, salt, commitment }, bytes) {
  if (!salt) throw new CouldNotCheck("this is a public receipt: without the salt no record can be compared with it");
  need(commitmentOf(salt, bytes).equals(commitment), "the record is not the one that was committed to");
  const { resourceType, id, meta: { versionId } } = parseJson(bytes, true);
  need([resourceType, id, versionId].every((said) => typeof said === "string"), "the record does not say what it is");
  need(`${resourceType}/${id}/_history/${versionId}` === reference, "record.reference is not what the record says");
}
function verifyReceipt(genesisBytes, bytes, record) {
  const genesis = orCouldNotCheck(() => readGenesis(genesisBytes));
  need(bytes.length <= 2 ** 20, "the receipt has more than 1 MiB");
  const value = parseJson(bytes), receipt = receiptFormat("statement" in value)(value, "receipt"), { anchor, bundle } = receipt;
  need(receipt.chain_id.equals(genesis.id), "chain_id: another than that of the genesis");
  const first = { keys: genesis.delegates.map(({ key }) => key), since: 0n };
  const acting = receipt.handovers.reduce((acting, handover) => handOver(genesis, acting, handover), first);
  const header = verifyFinal(genesis, acting, receipt, "header"), anchored = verifyLogged(genesis, header, anchor, ANCHOR, "anchor");
  need(receipt.record.path.some(({ side }) => side === "left"), "record.path: that of the bundle's first leaf");
  const bundleRoot = rootBySides(leafHash(receipt.record.commitment), receipt.record.path);
  const containerRoot = rootByIndex(leafHash(bundleRoot), bundle.index, bundle.size, bundle.path);
  need(bundle.size === anchored.bundles && containerRoot.equals(anchored.root), "bundle: not in the container");
  const who = receipt.statement ? verifyStatement(genesis, header, receipt, bundleRoot) : "not checked: who submitted it";
  if (record) verifyRecord(receipt.record, record);
  const when = new Date(Number(header.time) * 1000).toJSON(), by = `${receipt.votes.length} of ${acting.keys.length} delegates`;
  const what = record ? "the record is the one committed to" : "not checked: the record";
  return `${receipt.record.reference}, accepted in block ${header.height} (${when}) by ${by}; ${who}; ${what}`;
}

// `read` gives the bytes of genesis, receipt and, maybe, record. The answer is the exit code and a sentence.
export function verdict(read) {
  try {
    return [0, `valid: ${verifyReceipt(...orCouldNotCheck(read))}`];
  } catch (error) {
    const sentence = error.message.replace(/[^ -~]/g, " ");
    return error instanceof CouldNotCheck ? [2, `could not check: ${sentence}`] : [1, `invalid: ${sentence}`];
  }
}
function readFiles(paths) { // of the record without the line's end that fetch and editors give it
  need(paths.length === 2 || paths.length === 3, "usage: node verify.mjs GENESIS RECEIPT [RECORD]");
  const [genesis, receipt, record] = paths.map((path) => readFileSync(path));
  return [genesis, receipt, record && Buffer.from(record.toString("latin1").replace(/\r?\n$/, ""), "latin1")];
}
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [code, sentence] = verdict(() => readFiles(process.argv.slice(2)));
  console.log(sentence);
  process.exitCode = code;
}
