//! Names that strangers chose lead to addresses within reach, or nowhere.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{sync::Semaphore, task};

use super::addresses::{Reach, is_loopback_name};

/// Lookups at one time: a stranger's slow name server can't take every thread that blocks.
const MAX_LOOKUPS: usize = 16;

/// Asks the system's resolver and forgets every address out of reach; the connection is made to what is left.
pub(super) struct ReachableOnly {
    reach: Reach,
    lookups: Arc<Semaphore>,
}

impl ReachableOnly {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            reach,
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }
}

impl Resolve for ReachableOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        let lookups = Arc::clone(&self.lookups);
        Box::pin(async move {
            let found = if is_loopback_name(name.as_str()) {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            } else {
                let turn = lookups.acquire_owned().await?;
                task::spawn_blocking(move || {
                    // The turn ends with the lookup, which outlives a request that gave up.
                    let _turn = turn;
                    look_up(name.as_str())
                })
                .await??
            };
            let addresses = found.into_iter().filter(move |ip| reach.admits(*ip));
            let addresses: Addrs = Box::new(addresses.map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses = (name, 0).to_socket_addrs()?;
    Ok(addresses.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn inp_08_names_resolve_to_reachable_addresses_only() {
        let resolve = async |reach: Reach, name: &str| {
            let found = ReachableOnly::new(reach)
                .resolve(name.parse().unwrap())
                .await;
            found.map_or(0, Iterator::count)
        };
        // The system's resolver reads literals, whatever asks it.
        for name in [
            "127.0.0.1",
            "10.0.0.1",
            "::ffff:10.0.0.1",
            "localhost",
            "x.localhost",
        ] {
            assert_eq!(resolve(Reach::Public, name).await, 0, "{name}");
        }
        assert_eq!(resolve(Reach::Public, "8.8.8.8").await, 1);
        assert_eq!(resolve(Reach::LoopbackToo, "10.0.0.1").await, 0);
        assert_eq!(resolve(Reach::LoopbackToo, "x.localhost").await, 2);
    }
}
