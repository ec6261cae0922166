// src/index.ts
import { RosterdClient } from "./core.js";
import { digest } from "./core.js";
import { cutFriends, merge, mergeFriends, mergeUsers } from "./core.js";
import { RosterdError, UnauthorizedError } from "./core.js";
import { IndexedDbStore, MemoryStore } from "./core.js";
export {
  IndexedDbStore,
  MemoryStore,
  RosterdClient,
  RosterdError,
  UnauthorizedError,
  cutFriends,
  digest,
  merge,
  mergeFriends,
  mergeUsers
};
//# sourceMappingURL=index.js.map
