//! `Inbox` is what waits for the program that owns a call: bounded, oldest dropped first.
//!
//! In: items, from the stream's actor. Out: a stream of them, on whatever thread the program runs. It ends behind the last
//! item once the actor has closed it, or is gone.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use prometheus_client::metrics::counter::Counter;

/// The actor's end.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Arc<Mutex<Queue<T>>>,
}

/// The program's end. Clones share the items: each goes to one of them.
#[derive(Debug)]
pub struct Outlet<T> {
    queue: Arc<Mutex<Queue<T>>>,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    capacity: usize,
    closed: bool,
    drops: Counter,
    waiting: Vec<Waker>,
}

impl<T> Inbox<T> {
    /// An inbox for `capacity` items, at least one. `drops` counts those that made room.
    pub fn new(capacity: usize, drops: &Counter) -> (Self, Outlet<T>) {
        let queue = Queue {
            items: VecDeque::new(),
            capacity: capacity.max(1),
            closed: false,
            drops: drops.clone(),
            waiting: Vec::new(),
        };
        let queue = Arc::new(Mutex::new(queue));
        (Self { queue: queue.clone() }, Outlet { queue })
    }

    /// Adds an item; if there is no room the oldest goes.
    pub fn push(&self, item: T) {
        let mut queue = lock(&self.queue);
        if queue.items.len() >= queue.capacity {
            queue.items.pop_front();
            queue.drops.inc();
        }
        queue.items.push_back(item);
        queue.wake();
    }

    /// Nothing more comes.
    pub fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        queue.wake();
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> Queue<T> {
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<T> futures_core::Stream for Outlet<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut queue = lock(&self.queue);
        match queue.items.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if queue.closed => Poll::Ready(None),
            None => {
                if !queue.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    queue.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

fn lock<T>(queue: &Mutex<Queue<T>>) -> MutexGuard<'_, Queue<T>> {
    // Every change is complete before anything can panic.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[actix::test]
    async fn items_come_in_order_and_the_end_behind_them() {
        let (inbox, outlet) = Inbox::new(8, &Counter::default());
        [1, 2, 3].into_iter().for_each(|n| inbox.push(n));
        drop(inbox);
        assert_eq!(outlet.collect::<Vec<_>>().await, [1, 2, 3]);
    }

    #[actix::test]
    async fn full_inbox_loses_the_oldest_and_counts_it() {
        let drops = Counter::default();
        let (inbox, outlet) = Inbox::new(2, &drops);
        (0..5).for_each(|n| inbox.push(n));
        inbox.close();
        assert_eq!(drops.get(), 3);
        assert_eq!(outlet.collect::<Vec<_>>().await, [3, 4]);
    }

    #[actix::test]
    async fn program_that_waits_is_woken() {
        let (inbox, mut outlet) = Inbox::new(2, &Counter::default());
        let waiting = actix::spawn(async move { (outlet.next().await, outlet.next().await) });
        tokio::task::yield_now().await;
        inbox.push("a");
        drop(inbox);
        assert_eq!(waiting.await.expect("no panic"), (Some("a"), None));
    }
}
