var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);

// src/index.ts
var index_exports = {};
__export(index_exports, {
  IndexedDbStore: () => import_store.IndexedDbStore,
  MemoryStore: () => import_store.MemoryStore,
  RosterdClient: () => import_client.RosterdClient,
  RosterdError: () => import_protocol.RosterdError,
  UnauthorizedError: () => import_protocol.UnauthorizedError,
  cutFriends: () => import_merge.cutFriends,
  digest: () => import_digest.digest,
  merge: () => import_merge.merge,
  mergeFriends: () => import_merge.mergeFriends,
  mergeUsers: () => import_merge.mergeUsers
});
module.exports = __toCommonJS(index_exports);
var import_client = require("./core.js");
var import_digest = require("./core.js");
var import_merge = require("./core.js");
var import_protocol = require("./core.js");
var import_store = require("./core.js");
//# sourceMappingURL=index.js.map
