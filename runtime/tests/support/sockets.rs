//! What the system says of sockets and addresses, read from `/proc`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The local addresses of every UDP and TCP socket of a process.
pub(crate) fn sockets(pid: u32) -> Vec<(String, IpAddr)> {
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let inodes: BTreeSet<String> = fds
        .flatten()
        .filter_map(|fd| {
            let target = std::fs::read_link(fd.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for protocol in ["udp", "udp6", "tcp", "tcp6"] {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if inodes.contains(fields[9]) {
                found.push((protocol.to_owned(), address(fields[1])));
            }
        }
    }
    found
}

/// Reads `0100007F:1F90`: words in the byte order of the machine.
fn address(text: &str) -> IpAddr {
    let digits = text.split(':').next().unwrap();
    let words: Vec<u32> = (0..digits.len() / 8)
        .map(|word| u32::from_str_radix(&digits[word * 8..word * 8 + 8], 16).unwrap())
        .collect();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    match <[u8; 16]>::try_from(&bytes[..]) {
        Ok(bytes) => Ipv6Addr::from(bytes).into(),
        Err(_) => Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[..]).unwrap()).into(),
    }
}

/// The addresses of this machine at which others may reach it, and those of loopback.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let v4 = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut found: Vec<IpAddr> = local_v4(&v4).map(IpAddr::from).collect();
    found.extend(v6.lines().filter_map(usable_v6).map(IpAddr::from));
    found.sort_unstable();
    found.dedup();
    found
}

/// An address stands in a line of its own, and what it is in the next.
fn local_v4(table: &str) -> impl Iterator<Item = Ipv4Addr> {
    table.lines().zip(table.lines().skip(1)).filter_map(|(address, what)| {
        let is_ours = what.trim() == "/32 host LOCAL";
        address.trim().strip_prefix("|-- ").filter(|_| is_ours)?.parse().ok()
    })
}

/// Of global scope or the host's own, and not one that is still being looked into.
fn usable_v6(line: &str) -> Option<Ipv6Addr> {
    const TENTATIVE_OR_FAILED: u8 = 0x40 | 0x08;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [digits, _, _, scope, flags, _] = fields[..] else { return None };
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let is_usable = ["00", "10"].contains(&scope) && flags & TENTATIVE_OR_FAILED == 0;
    let bits = u128::from_str_radix(digits, 16).ok()?;
    is_usable.then(|| Ipv6Addr::from_bits(bits))
}
