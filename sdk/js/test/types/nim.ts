// Is compiled but not run: it checks that code written for NIM's published types works with this interface.

import type { NIM as Theirs } from '@yxim/nim-web-sdk';
import SDK, { NIM as Ours } from 'rosterd/nim';
import type { NIMFriend, NIMGetInstanceOptions, NIMUser } from 'rosterd/nim';

type TheirOptions = Parameters<typeof Theirs.getInstance>[0];
type TheirUser = Parameters<NonNullable<TheirOptions['onmyinfo']>>[0];
type TheirFriend = Parameters<NonNullable<TheirOptions['onfriends']>>[0][number];

/** Names that both have. */
type Methods =
  | 'connect' | 'disconnect' | 'destroy' | 'setOptions'
  | 'updateMyInfo' | 'getUser' | 'getUsers'
  | 'addFriend' | 'applyFriend' | 'passFriendApply' | 'rejectFriendApply' | 'deleteFriend' | 'updateFriend' | 'getFriends' | 'isMyFriend'
  | 'markInBlacklist' | 'addToBlacklist' | 'removeFromBlacklist' | 'getRelations' | 'mergeRelations' | 'cutRelations' | 'findRelation' | 'kick'
  | 'isUserInBlackList' | 'logout' | 'getLoginStatus' | 'mergeSysMsgs' | 'cutSysMsgs' | 'findSysMsg' | 'mergeLoginPorts' | 'cutLoginPorts'
  | 'viewImageThumbnail' | 'viewImageCrop' | 'viewImageQuality' | 'viewImageRotate' | 'viewImageBlur' | 'viewImageInterlace' | 'viewImageStripMeta'
  | 'publishEvent' | 'subscribeEvent' | 'unSubscribeEventsByAccounts' | 'unSubscribeEventsByType'
  | 'querySubscribeEventsByAccounts' | 'querySubscribeEventsByType'
  | 'mergeUsers' | 'findUser' | 'mergeFriends' | 'cutFriends' | 'cutFriendsByAccounts' | 'findFriend';
type Callbacks =
  | 'onconnect' | 'onwillreconnect' | 'ondisconnect' | 'onerror' | 'onsyncdone'
  | 'onmyinfo' | 'onupdatemyinfo' | 'onusers' | 'onupdateuser'
  | 'onfriends' | 'onsyncfriendaction' | 'onblacklist' | 'onsyncmarkinblacklist' | 'onloginportschange'
  | 'onsysmsg' | 'onofflinesysmsgs' | 'onupdatesysmsg' | 'onpushevents';
type Values =
  | 'appKey' | 'account' | 'token' | 'db' | 'needReconnect' | 'reconnectionAttempts' | 'quickReconnect'
  | 'syncFriends' | 'syncFriendUsers' | 'syncRelations' | 'customTag' | 'cmdTimeout' | 'skipConnectionOnInitialize';

declare const theirOptions: Pick<TheirOptions, Values | Callbacks>;
declare const theirUser: TheirUser;
declare const theirFriend: TheirFriend;
declare const ourUser: NIMUser;
declare const ourFriend: NIMFriend;

// Without the package its types would be `any`, and these checks would prove nothing.
// @ts-expect-error an account is a text
const theirTypesAreThere: TheirUser = { ...theirUser, account: 1 };

// NIM's options are valid here, and callbacks receive the arguments they expect.
const options: NIMGetInstanceOptions = theirOptions;

// An instance works where NIM's is expected.
const nim: Pick<Theirs, Methods> = Ours.getInstance(options);

// Profiles and friendships are compatible in both directions, so applications can keep their lists.
const users: TheirUser[] = Ours.getInstance(options).mergeUsers([theirUser], ourUser);
const oneOfOurs: NIMUser = theirUser;
const friends: TheirFriend[] = Ours.getInstance(options).cutFriends([theirFriend, ourFriend], [theirFriend]);

// Every name of the subset is an option here; a missing one does not compile.
const names: Record<Values | Callbacks, unknown> = {} as Required<NIMGetInstanceOptions>;
const additional: Exclude<keyof NIMGetInstanceOptions, Values | Callbacks> = 'url';

// The sample of NIM's reference, with types.
let data: { myInfo?: TheirUser; users?: TheirUser[] } = {};
const sample = Ours.getInstance({
  appKey: 'demo',
  account: 'alice',
  token: 'alice',
  onmyinfo: (user: TheirUser) => void (data.myInfo = user),
  onupdatemyinfo: (user: TheirUser) => void (data.myInfo = Ours.util.merge(data.myInfo, user)),
  onusers: (users: TheirUser[]) => void (data.users = sample.mergeUsers(data.users, users)),
  onupdateuser: (user: TheirUser) => void (data.users = sample.mergeUsers(data.users, user)),
  onfriends: (friends: TheirFriend[] & { invalid?: TheirFriend[] }) => void friends.invalid,
});
sample.updateMyInfo({ nick: 'newNick', gender: 'male', done: (error, user: TheirUser) => void (error?.code, user.nick) });
sample.applyFriend({ account: 'bob', ps: 'Hello', done: (error) => void error?.code });
sample.passFriendApply({ idServer: 'x', account: 'bob', done: (error, { friend }) => void (error ?? friend?.alias) });
sample.updateFriend({ account: 'bob', alias: 'B.', custom: '{}' });
sample.addToBlacklist({ account: 'bob', done: (error, { isAdd, record }) => void (error ?? [isAdd, record.updateTime]) });
sample.getFriends({ updateTime: 0, done: (error, friends: TheirFriend[]) => void friends.length });
sample.kick({ deviceIds: ['a session'], done: (error, { deviceIds }) => void deviceIds.length });
sample.getUsers({ accounts: ['bob'], sync: true, done: (error, users: TheirUser[]) => void users.length });

// @ts-expect-error not a gender
sample.updateMyInfo({ gender: 'both' });
// @ts-expect-error no account
Ours.getInstance({ token: 'alice' });

// Options that do nothing here only warn at run time, so they compile; and NIM's other ways to the class work.
SDK.NIM.getInstance({ account: 'alice', lbsUrl: 'https://lbs', onmsg: (message: { text: string }) => void message.text }).setOptions({ token: 't', debug: true });
SDK.getInstance({ account: 'alice' }).viewImageSync({ url: 'https://image', quality: 60 }).trim();
// @ts-expect-error an option that has a meaning is still checked
Ours.getInstance({ account: 'alice', onmyinfo: (user: number) => void user });
