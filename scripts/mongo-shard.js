// Spreads a DMP database over the shards of a cluster. Run it once, before the data grow, with:
//   mongosh "mongodb://HOST/dmp" scripts/mongo-shard.js
// It may be run again: what is sharded already stays as it is. Explained in docs/stores.md, "Shards".
const name = db.getName();
sh.enableSharding(name);

const sharded = new Set(
  db.getSiblingDB("config").collections.find({ _id: { $regex: `^${name}\\.` } }).map((one) => one._id)
);

function spread(collection, key) {
  const place = `${name}.${collection}`;
  if (sharded.has(place)) return;
  if (key._id !== "hashed") db[collection].createIndex(key);
  sh.shardCollection(place, key);
  print(`${place}: ${JSON.stringify(key)}`);
}

const types = db.getCollectionNames().filter((one) => /^[A-Z][A-Za-z0-9]*$/.test(one));
for (const type of new Set([...types, "DocumentReference", "List", "Binary", "Patient"])) {
  spread(type, { pb: 1, _id: 1 });
}
spread("history", { pb: 1, _id: 1 });
spread("blobs", { _id: "hashed" });
spread("blob_bytes", { _id: "hashed" });
spread("contents.chunks", { files_id: 1, n: 1 });
// uniques, claims, outbox, meta and the months of the audit trail are small or append-only: they stay on the primary shard.
