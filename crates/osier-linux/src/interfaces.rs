//! Network interfaces and their addresses, of every network namespace: what `ip address` shows.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::{HashSet, HashSetExt as _};
use osier_memory::{Each, VirtAddr};
use osier_osi::{Absent, Guard, Interface, Seen, WalkEnd, WalkEnds};
use osier_profile::{Embed, Field, Ptr, Resolver, SInt, UInt, layout};

use crate::guest::Guest;
use crate::hashes::{self, Buckets, Chains};
use crate::netns::Nets;
use crate::wide::namespaces::networks;
use crate::{Linux, list};

/// The walk's name in its endings.
const WALK: &str = "interfaces";
/// The same of addresses.
const ADDRESSES: &str = "addresses";
/// Longest address on the wire: `MAX_ADDR_LEN`.
const MAC: u64 = 32;
/// Most addresses of one interface that are read.
const MOST: usize = 1 << 16;
/// `ARPHRD_ETHER`.
const ARPHRD_ETHER: u64 = 1;
/// `ETH_ALEN`.
const ETHERNET_MAC: u64 = 6;
/// `NETDEV_HASHENTRIES`: lists of interfaces by number.
const NUMBERS: u64 = 256;
/// `IFNAMSIZ`.
const NAME: usize = 16;
/// `IFF_…`: those that the kernel makes up when it is asked.
const IFF_UP: u64 = 0x1;
const IFF_RUNNING: u64 = 0x40;
const IFF_PROMISC: u64 = 0x100;
const IFF_ALLMULTI: u64 = 0x200;
const IFF_LOWER_UP: u64 = 0x1_0000;
const IFF_DORMANT: u64 = 0x2_0000;
/// `__LINK_STATE_…`: bits of `state`.
const NOCARRIER: u64 = 1 << 2;
const DORMANT: u64 = 1 << 4;
const LINK_START: u64 = 1 << 0;
/// `IPV4_MIN_MTU` and `IPV6_MIN_MTU`: with a shorter longest packet the protocol keeps nothing of an interface.
const MTU4: u64 = 68;
const MTU6: u64 = 1280;
/// `IF_OPER_UNKNOWN` and `IF_OPER_UP`.
const OPER_UNKNOWN: u64 = 0;
const OPER_UP: u64 = 6;

layout! {
    /// Fields read from `net_device`.
    pub(crate) struct Device: "net_device" {
        /// The link in its namespace's list.
        dev_list: Option<Field<Embed<()>>>,
        /// The link among those of its number.
        index_hlist: Option<Field<Embed<()>>>,
        /// Its name, 16 bytes with its NUL.
        name: Option<Field<Embed<()>>>,
        /// Its number.
        ifindex: Option<Field<SInt>>,
        /// The longest packet that it sends.
        mtu: Option<Field<UInt>>,
        /// `IFF_…`.
        flags: Option<Field<UInt>>,
        /// Those of them that somebody asked for.
        gflags: Option<Field<UInt>>,
        /// State by RFC 2863.
        operstate: Option<Field<UInt>>,
        /// State of the link, in bits.
        state: Option<Field<UInt>>,
        /// Bytes of its address on the wire.
        addr_len: Option<Field<UInt>>,
        /// The address.
        dev_addr: Option<Field<Ptr<()>>>,
        /// `ARPHRD_…`.
        kind: Option<Field<UInt>> = ["type"],
        /// Its namespace.
        nd_net: Option<Field<Embed<()>>>,
        /// What IPv4 keeps of it.
        ip_ptr: Option<Field<Ptr<()>>>,
        /// What IPv6 keeps of it.
        ip6_ptr: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `in_device`.
    pub(crate) struct InDevice: "in_device" {
        /// The device.
        dev: Option<Field<Ptr<()>>>,
        /// The first address.
        ifa_list: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `in_ifaddr`.
    pub(crate) struct InAddress: "in_ifaddr" {
        /// The next.
        ifa_next: Option<Field<Ptr<()>>>,
        /// Whose it is.
        ifa_dev: Option<Field<Ptr<()>>>,
        /// The address.
        ifa_local: Option<Field<Embed<()>>>,
        /// Bits of the prefix.
        ifa_prefixlen: Option<Field<UInt>>,
        /// The same as a mask, in the network's order of bytes.
        ifa_mask: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `inet6_dev`.
    pub(crate) struct Inet6Device: "inet6_dev" {
        /// The device.
        dev: Option<Field<Ptr<()>>>,
        /// The list of addresses.
        addr_list: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `inet6_ifaddr`.
    pub(crate) struct Inet6Address: "inet6_ifaddr" {
        /// The link in the list. Linux commit 502a2ffd7376 ("ipv6: convert idev_list to list macros"), v2.6.35;
        /// before, a chain.
        if_list: Option<Field<Embed<()>>>,
        /// The next in the chain.
        if_next: Option<Field<Ptr<()>>>,
        /// Whose it is.
        idev: Option<Field<Ptr<()>>>,
        /// The address.
        addr: Option<Field<Embed<()>>>,
        /// Bits of the prefix.
        prefix_len: Option<Field<UInt>>,
    }
}

struct Walk<'a> {
    guest: &'a Guest,
    device: Device,
    v4: InDevice,
    v4_address: InAddress,
    v6: Inet6Device,
    v6_address: Inet6Address,
}

/// Every interface of every network namespace.
pub(crate) fn interfaces(linux: &Linux, row: Each<'_, Interface>) -> WalkEnds {
    let guest = &linux.guest;
    let profile = guest.profile.clone();
    let mut resolver = Resolver::new(&profile);
    let nets = Nets::resolve(&mut resolver);
    let walk = Walk {
        guest,
        device: Device::resolve(&mut resolver),
        v4: InDevice::resolve(&mut resolver),
        v4_address: InAddress::resolve(&mut resolver),
        v6: Inet6Device::resolve(&mut resolver),
        v6_address: Inet6Address::resolve(&mut resolver),
    };
    let (mut namespaces, mut ends) = nets.all(guest);
    Nets::with_those_of_processes(&mut namespaces, networks(linux), &mut ends);
    let (Some(head), Some(link)) = (nets.net.dev_base_head, walk.device.dev_list) else {
        return WalkEnds::one(
            WALK,
            WalkEnd::no_start("members of net and net_device in the profile", None),
        );
    };
    for net in namespaces {
        let netns = nets.number(guest, net);
        let walked = list::ring(guest, head.place(net));
        ends.add(WALK, walked.end);
        let nodes = walked.nodes.into_iter();
        let mut devices: Vec<_> = nodes.map(|node| link.container(node)).collect();
        let numbered = walk.numbered(&nets, net).unwrap_or_default();
        let unlisted: Vec<_> = numbered.iter().filter(|at| !devices.contains(at)).collect();
        ends.disagree("dev_base_head and dev_index_head", 0, unlisted.len());
        devices.extend(unlisted);
        // Whether IPv6 is there at all: a module, and one that can be told to keep off.
        let uses6 = devices.iter().any(|at| walk.is_kept6(*at));
        let mut numbers = HashSet::new();
        for at in devices {
            let addresses = walk.addresses(at, uses6, &mut ends);
            let mut interface = walk.row(at, net, netns.clone(), addresses);
            if let Ok(index) = interface.index
                && !numbers.insert(index)
            {
                let rule = "an interface has a number of its own in its namespace (ifindex)";
                interface.index = Err(Absent::implausible(index.into(), rule, Some(at)));
            }
            if row(interface).is_break() {
                return ends.stopped(WALK);
            }
        }
    }
    ends
}

impl Walk<'_> {
    /// The interfaces of a namespace by number; `None` where they cannot all be read, for then they say nothing of
    /// those in its list.
    fn numbered(&self, nets: &Nets, net: VirtAddr) -> Option<Vec<VirtAddr>> {
        const WALK: &str = "interfaces by number";
        let (field, link) = nets.net.dev_index_head.zip(self.device.index_hlist)?;
        let first = field.read(&self.guest.space, net).ok()?;
        let buckets = Buckets {
            first: Some(first).filter(|first| self.guest.can_be_object(*first))?,
            count: NUMBERS,
            stride: u64::from(self.guest.pointer_bytes()),
            counted: None,
            chains: Chains::Plain,
        };
        let mut ends = WalkEnds::default();
        let links = hashes::links(self.guest, WALK, buckets, &mut Guard::new(MOST), &mut ends);
        let devices = links.into_iter().map(|at| link.container(at));
        ends.is_complete().then(|| devices.collect())
    }

    fn row(
        &self,
        at: VirtAddr,
        net: VirtAddr,
        netns: Seen<u32>,
        addresses: Seen<Vec<(IpAddr, u8)>>,
    ) -> Interface {
        let device = &self.device;
        let netns = match device.nd_net.map(|field| (field.place(at), net)) {
            Some((place, net)) if matches!(self.guest.space.read_pointer(place), Ok(own) if own != net) =>
            {
                let rule = "an interface is of the namespace in whose list it is (nd_net)";
                Err(Absent::implausible(at.0, rule, Some(place)))
            }
            _ => netns,
        };
        Interface {
            netns,
            index: self.index(at),
            name: self.name(at),
            flags: self.flags(at),
            mac: self.mac(at),
            addresses,
            mtu: self.mtu(at),
            address: at,
        }
    }

    fn value(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(&self.guest.space, base)?)
    }

    fn mtu(&self, at: VirtAddr) -> Seen<u64> {
        let mtu = self.value(self.device.mtu, at)?;
        if i32::try_from(mtu).is_err() {
            let rule = "a longest packet is set as a number that is not negative (mtu)";
            let place = self.device.mtu.map(|field| field.place(at));
            return Err(Absent::implausible(mtu, rule, place));
        }
        Ok(mtu)
    }

    fn index(&self, at: VirtAddr) -> Seen<u32> {
        let field = self.device.ifindex.ok_or_else(Absent::not_in_this_kernel)?;
        let index = field.read(&self.guest.space, at)?;
        match u32::try_from(index) {
            Ok(number) if number != 0 => Ok(number),
            _ => {
                let rule = "interfaces are numbered from 1 (ifindex)";
                let place = Some(field.place(at));
                Err(Absent::implausible(index.cast_unsigned(), rule, place))
            }
        }
    }

    fn name(&self, at: VirtAddr) -> Seen<Vec<u8>> {
        let field = self.device.name.ok_or_else(Absent::not_in_this_kernel)?;
        let place = field.place(at);
        let name = self.guest.space.read_cstr(place, NAME)?;
        let odd = |byte: &u8| matches!(byte, b'/' | b':') || byte.is_ascii_whitespace();
        if name.is_empty() || name.len() >= NAME || name.iter().any(odd) {
            let rule = "an interface's name has 1 to 15 bytes, and no space, slash or colon";
            return Err(Absent::implausible(name.len() as u64, rule, Some(place)));
        }
        Ok(name)
    }

    /// The kernel's `dev_get_flags`.
    fn flags(&self, at: VirtAddr) -> Seen<u32> {
        let device = &self.device;
        let own = self.value(device.flags, at)?;
        let asked = self.value(device.gflags, at)?;
        let made_up = IFF_PROMISC | IFF_ALLMULTI | IFF_RUNNING | IFF_LOWER_UP | IFF_DORMANT;
        let mut flags = (own & !made_up) | (asked & (IFF_PROMISC | IFF_ALLMULTI));
        let state = self.value(device.state, at)?;
        if state & LINK_START != 0 {
            let operating = self.value(device.operstate, at)?;
            if matches!(operating, OPER_UNKNOWN | OPER_UP) {
                flags |= IFF_RUNNING;
            }
            if state & NOCARRIER == 0 {
                flags |= IFF_LOWER_UP;
            }
            if state & DORMANT != 0 {
                flags |= IFF_DORMANT;
            }
        } else if own & IFF_UP != 0 {
            let rule = "an interface that is up has started (__LINK_STATE_START)";
            let place = device.flags.map(|field| field.place(at));
            return Err(Absent::implausible(own, rule, place));
        }
        u32::try_from(flags).map_err(|_| {
            let place = device.flags.map(|field| field.place(at));
            Absent::implausible(flags, "flags have 32 bits", place)
        })
    }

    fn mac(&self, at: VirtAddr) -> Seen<Vec<u8>> {
        let device = &self.device;
        let length = self.value(device.addr_len, at)?;
        let ethernet = matches!(self.value(device.kind, at), Ok(ARPHRD_ETHER));
        if ethernet && length != ETHERNET_MAC {
            let place = device.addr_len.map(|field| field.place(at));
            let rule = "an address of Ethernet has 6 bytes (addr_len)";
            return Err(Absent::implausible(length, rule, place));
        }
        if length == 0 {
            return Err(Absent::not_applicable(
                "its kind has no address on the wire",
            ));
        }
        if length > MAC {
            let place = device.addr_len.map(|field| field.place(at));
            let rule = "an address on the wire has at most 32 bytes (addr_len)";
            return Err(Absent::implausible(length, rule, place));
        }
        let field = device.dev_addr.ok_or_else(Absent::not_in_this_kernel)?;
        let bytes = field.read(&self.guest.space, at)?;
        let mut mac = vec![0; usize::try_from(length).unwrap_or(0)];
        self.guest.space.read(bytes, &mut mac)?;
        if ethernet && mac.iter().all(|byte| *byte == 0) {
            let rule = "an Ethernet interface has an address (dev_addr)";
            return Err(Absent::implausible(0, rule, Some(bytes)));
        }
        Ok(mac)
    }

    /// Its addresses. One that cannot be read loses them all: a shorter list would pass for the whole.
    /// `uses6` is whether IPv6 keeps anything of any interface of the namespace.
    fn addresses(&self, at: VirtAddr, uses6: bool, ends: &mut WalkEnds) -> Seen<Vec<(IpAddr, u8)>> {
        let mut all = Vec::new();
        let device = &self.device;
        match self.kept(device.ip_ptr, self.v4.dev, at)? {
            Some(kept) => self.addresses4(kept, &mut all, ends)?,
            None if self.v4.ifa_list.is_some() => self.is_too_short(device.ip_ptr, at, MTU4)?,
            // Built without IPv4.
            None => {}
        }
        // A kernel may be built without IPv6.
        if device.ip6_ptr.is_some() {
            match self.kept(device.ip6_ptr, self.v6.dev, at)? {
                Some(kept) => self.addresses6(kept, &mut all, ends)?,
                None if uses6 => self.is_too_short(device.ip6_ptr, at, MTU6)?,
                None => {}
            }
        }
        Ok(all)
    }

    /// Whether IPv6 keeps something of the interface at `at`.
    fn is_kept6(&self, at: VirtAddr) -> bool {
        matches!(self.kept(self.device.ip6_ptr, self.v6.dev, at), Ok(Some(_)))
    }

    /// That the longest packet of an interface of which a protocol keeps nothing is shorter than the protocol's shortest:
    /// for every other one something is made when it is registered, and when its longest packet is set (`inetdev_event`,
    /// `addrconf_notify`).
    fn is_too_short(&self, field: Option<Field<Ptr<()>>>, at: VirtAddr, least: u64) -> Seen<()> {
        if self.mtu(at)? < least {
            return Ok(());
        }
        let rule = "a protocol keeps something of an interface that can send its packets (ip_ptr, ip6_ptr, mtu)";
        let place = field.map(|field| field.place(at));
        Err(Absent::implausible(0, rule, place))
    }

    /// What a protocol keeps of the device, which leads back to it; `None` where it keeps nothing.
    fn kept(
        &self,
        field: Option<Field<Ptr<()>>>,
        back: Option<Field<Ptr<()>>>,
        at: VirtAddr,
    ) -> Seen<Option<VirtAddr>> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.guest.space;
        let kept = field.read(space, at)?;
        if kept.is_null() {
            return Ok(None);
        }
        let place = Some(field.place(at));
        if !self.guest.can_be_object(kept) {
            let rule = "an aligned address of the kernel, or none";
            return Err(Absent::implausible(kept.0, rule, place));
        }
        let back = back.map(|back| back.read(space, kept)).transpose()?;
        if back.is_some_and(|back| back != at) {
            let rule = "what a protocol keeps of an interface leads back to it (dev)";
            return Err(Absent::implausible(kept.0, rule, place));
        }
        Ok(Some(kept))
    }

    fn addresses4(
        &self,
        kept: VirtAddr,
        all: &mut Vec<(IpAddr, u8)>,
        ends: &mut WalkEnds,
    ) -> Seen<()> {
        let layout = &self.v4_address;
        let first = self.v4.ifa_list.ok_or_else(Absent::not_in_this_kernel)?;
        let next = layout.ifa_next.ok_or_else(Absent::not_in_this_kernel)?;
        let local = layout.ifa_local.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.guest.space;
        let mut met = Guard::new(MOST);
        let mut at = first.read(space, kept)?;
        while !at.is_null() {
            self.belongs(layout.ifa_dev, at, kept, &mut met, ends)?;
            let mut bytes = [0; 4];
            space.read(local.place(at), &mut bytes)?;
            let prefix = self.prefix(layout.ifa_prefixlen, at, 32)?;
            if let Some(mask) = layout.ifa_mask {
                let mut bytes = [0; 4];
                space.read(mask.place(at), &mut bytes)?;
                let bits = u32::from_be_bytes(bytes);
                if bits.leading_ones() != u32::from(prefix)
                    || bits.count_ones() != u32::from(prefix)
                {
                    let rule = "a prefix is as long as its mask (ifa_prefixlen, ifa_mask)";
                    return Err(Absent::implausible(bits.into(), rule, Some(mask.place(at))));
                }
            }
            all.push((IpAddr::V4(Ipv4Addr::from(bytes)), prefix));
            at = next.read(space, at)?;
        }
        Ok(())
    }

    fn addresses6(
        &self,
        kept: VirtAddr,
        all: &mut Vec<(IpAddr, u8)>,
        ends: &mut WalkEnds,
    ) -> Seen<()> {
        let layout = &self.v6_address;
        let head = self.v6.addr_list.ok_or_else(Absent::not_in_this_kernel)?;
        let place = layout.addr.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &self.guest.space;
        let mut met = Guard::new(MOST);
        let mut take = |at: VirtAddr, ends: &mut WalkEnds| -> Seen<()> {
            self.belongs(layout.idev, at, kept, &mut met, ends)?;
            let mut bytes = [0; 16];
            space.read(place.place(at), &mut bytes)?;
            let prefix = self.prefix(layout.prefix_len, at, 128)?;
            all.push((IpAddr::V6(Ipv6Addr::from(bytes)), prefix));
            Ok(())
        };
        if let Some(link) = layout.if_list {
            let walked = list::ring(self.guest, head.place(kept));
            let closed = walked.end.is_closed();
            ends.add(ADDRESSES, walked.end);
            for node in walked.nodes {
                take(link.container(node), ends)?;
            }
            if !closed {
                let rule = "the list of an interface's addresses closes";
                return Err(Absent::implausible(kept.0, rule, Some(head.place(kept))));
            }
        } else {
            let next = layout.if_next.ok_or_else(Absent::not_in_this_kernel)?;
            let mut at = space.read_pointer(head.place(kept))?;
            while !at.is_null() {
                take(at, ends)?;
                at = next.read(space, at)?;
            }
        }
        Ok(())
    }

    /// That an address is one of what is kept of its device, and was not met before.
    fn belongs(
        &self,
        back: Option<Field<Ptr<()>>>,
        at: VirtAddr,
        kept: VirtAddr,
        met: &mut Guard,
        ends: &mut WalkEnds,
    ) -> Seen<()> {
        let implausible = |rule| Err(Absent::implausible(at.0, rule, Some(kept)));
        if !self.guest.can_be_object(at) {
            return implausible("an interface's address is an aligned address of the kernel");
        }
        if let Err(end) = met.meet(at) {
            ends.add(ADDRESSES, end);
            return implausible("an interface has each address once");
        }
        let back = back.map(|back| back.read(&self.guest.space, at));
        if back.transpose()?.is_some_and(|back| back != kept) {
            return implausible("an interface's address leads back to it");
        }
        Ok(())
    }

    fn prefix(&self, field: Option<Field<UInt>>, at: VirtAddr, most: u64) -> Seen<u8> {
        let prefix = self.value(field, at)?;
        match u8::try_from(prefix) {
            Ok(bits) if prefix <= most => Ok(bits),
            _ => {
                let rule = "a prefix is no longer than its address";
                let place = field.map(|field| field.place(at));
                Err(Absent::implausible(prefix, rule, place))
            }
        }
    }
}
