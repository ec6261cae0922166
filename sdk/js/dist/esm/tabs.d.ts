import type { Tabs } from './sharing.js';
export type { Member, Shared, Tabs } from './sharing.js';
/** Lets all tabs of an account and origin share one connection: `new RosterdClient({ account, tabs: shareTabs })`. */
export declare const shareTabs: Tabs;
