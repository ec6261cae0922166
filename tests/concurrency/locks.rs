//! The locks that `crates/service/src/locks.rs` names, made of ones that shuttle schedules.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Deref;

use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

pub use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

#[derive(Debug, Default)]
pub struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap()
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap()
    }
}

/// A map with one shard, so that all accesses contend.
#[derive(Debug)]
pub struct DashMap<K, V, S = ()>(RwLock<BTreeMap<K, V>>, PhantomData<S>);

impl<K, V, S> Default for DashMap<K, V, S> {
    fn default() -> Self {
        Self(RwLock::default(), PhantomData)
    }
}

/// A value under its shard's lock.
pub struct Ref<'a, K, V> {
    _shard: Shard<'a, K, V>,
    value: V,
}

/// dashmap downgrades the lock of an entry that was made to a read lock without releasing it. Here it stays a write lock,
/// which differs only for readers: they wait.
enum Shard<'a, K, V> {
    Read(RwLockReadGuard<'a, BTreeMap<K, V>>),
    Written(RwLockWriteGuard<'a, BTreeMap<K, V>>),
}

impl<K, V> Ref<'_, K, V> {
    pub fn value(&self) -> &V {
        &self.value
    }
}

impl<K, V> Deref for Ref<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

pub struct Entry<'a, K, V> {
    shard: RwLockWriteGuard<'a, BTreeMap<K, V>>,
    key: K,
}

pub struct RefMut<'a, K, V>(Ref<'a, K, V>);

impl<'a, K: Ord, V: Clone> Entry<'a, K, V> {
    pub fn or_insert_with(mut self, make: impl FnOnce() -> V) -> RefMut<'a, K, V> {
        let value = self.shard.entry(self.key).or_insert_with(make).clone();
        RefMut(Ref { _shard: Shard::Written(self.shard), value })
    }
}

impl<'a, K, V> RefMut<'a, K, V> {
    pub fn downgrade(self) -> Ref<'a, K, V> {
        self.0
    }
}

impl<K, V> Deref for RefMut<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0
    }
}

impl<K: Ord, V: Clone, S> DashMap<K, V, S> {
    pub fn get(&self, key: &K) -> Option<Ref<'_, K, V>> {
        let shard = self.0.read();
        let value = shard.get(key)?.clone();
        Some(Ref { _shard: Shard::Read(shard), value })
    }

    pub fn entry(&self, key: K) -> Entry<'_, K, V> {
        Entry { shard: self.0.write(), key }
    }

    pub fn remove_if(&self, key: &K, check: impl FnOnce(&K, &V) -> bool) -> Option<(K, V)> {
        let mut shard = self.0.write();
        let held = shard.get(key)?;
        if check(key, held) { shard.remove_entry(key) } else { None }
    }

    pub fn len(&self) -> usize {
        self.0.read().len()
    }
}

impl<K, V: Clone, S> IntoIterator for &DashMap<K, V, S> {
    type Item = V;
    type IntoIter = std::vec::IntoIter<V>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.read().values().cloned().collect::<Vec<_>>().into_iter()
    }
}
