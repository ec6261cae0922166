// What the entries of the package share. There it is one file, so that both have the same classes.

export * from './index.js';
export { report } from './emitter.js';
export { cutBy, mergeBy } from './merge.js';
export { gatewayOf } from './options.js';
export { Close, Code } from './protocol.js';
export { Gathered, requestKey } from './store.js';
