//! The numbers of a process's namespaces.

use foldhash::{HashSet, HashSetExt as _};
use osier_memory::VirtAddr;
use osier_osi::{Absent, Namespaces, Seen};
use osier_profile::{Field, Ptr, Resolver, UInt, layout};

use super::numbers::Numbers;
use super::reader::Reader;
use crate::layouts::PidNamespace;
use crate::layouts::files::MntNamespace;
use crate::netns::Net;
use crate::{Linux, group, list, netns};

layout! {
    /// Fields read from `nsproxy`.
    pub(crate) struct Proxy: "nsproxy" {
        /// Of the host's name.
        uts_ns: Option<Field<Ptr<()>>>,
        /// Of System V IPC.
        ipc_ns: Option<Field<Ptr<()>>>,
        /// Of mounts.
        mnt_ns: Option<Field<Ptr<()>>>,
        /// Of the network.
        net_ns: Option<Field<Ptr<()>>>,
        /// Of control groups. Since v4.6.
        cgroup_ns: Option<Field<Ptr<()>>>,
        /// Of clocks. Since v5.6.
        time_ns: Option<Field<Ptr<()>>>,
        /// References to it.
        count: Option<Field<UInt>>,
    }
}

macro_rules! namespace {
    ($($name:ident $structure:literal,)*) => {
        $(
            layout! {
                /// The number of a namespace.
                pub(crate) struct $name: $structure {
                    /// Its number.
                    inum: Option<Field<UInt>> = ["ns.inum", "proc_inum"],
                }
            }
        )*
    };
}

namespace! {
    Uts "uts_namespace",
    Ipc "ipc_namespace",
    Cgroups "cgroup_namespace",
    Clocks "time_namespace",
    Users "user_namespace",
}

/// The number of a namespace of a kind whose first one has the number `first`.
fn numbered(
    reader: &Reader<'_>,
    namespace: VirtAddr,
    inum: Option<Field<UInt>>,
    first: u32,
) -> Seen<Option<u32>> {
    let number = reader.value(inum, namespace)?;
    netns::numbered(number, first, namespace).map(Some)
}

/// The network namespaces that the tasks on the task list are in.
pub(crate) fn networks(linux: &Linux) -> HashSet<VirtAddr> {
    let (guest, profile) = (&linux.guest, linux.guest.profile.clone());
    let mut resolver = Resolver::new(&profile);
    let (of_task, of_proxy) = (linux.tasks.nsproxy, Proxy::resolve(&mut resolver).net_ns);
    let (Some(init), Some(of_task), Some(of_proxy)) = (linux.init_task, of_task, of_proxy) else {
        return HashSet::new();
    };
    let link = linux.tasks.tasks;
    let object = |field: Field<Ptr<()>>, base| {
        let at = field.read(&guest.space, base).ok();
        at.filter(|at| guest.can_be_object(*at))
    };
    let tasks = list::ring(guest, link.place(init)).nodes;
    let proxies = tasks.into_iter().filter_map(|node| {
        let task = link.container(node);
        object(of_task, group::bearer(linux, task, of_task).unwrap_or(task))
    });
    let proxies: HashSet<VirtAddr> = proxies.collect();
    proxies
        .into_iter()
        .filter_map(|proxy| object(of_proxy, proxy))
        .collect()
}

/// How to read them.
pub(super) struct Spaces {
    proxy: Proxy,
    uts: Uts,
    ipc: Ipc,
    mnt: MntNamespace,
    net: Net,
    cgroups: Cgroups,
    clocks: Clocks,
    users: Users,
    pids: PidNamespace,
}

impl Spaces {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            proxy: Proxy::resolve(resolver),
            uts: Uts::resolve(resolver),
            ipc: Ipc::resolve(resolver),
            mnt: MntNamespace::resolve(resolver),
            net: Net::resolve(resolver),
            cgroups: Cgroups::resolve(resolver),
            clocks: Clocks::resolve(resolver),
            users: Users::resolve(resolver),
            pids: PidNamespace::resolve(resolver),
        }
    }

    pub(super) fn of(
        &self,
        reader: &Reader<'_>,
        numbers: &Numbers,
        task: VirtAddr,
        cred: &Seen<VirtAddr>,
    ) -> Seen<Namespaces> {
        let proxy = match reader.kept(reader.task.nsproxy, task) {
            Ok(proxy) => Some(proxy),
            // What has exited is of users and has a number still.
            Err(absent) if !absent.is_loss() => None,
            Err(absent) => return Err(absent),
        };
        if let Some(proxy) = proxy
            && reader.value(self.proxy.count, proxy)? == 0
        {
            let rule = "an nsproxy that is in use is counted (count)";
            return Err(Absent::implausible(0, rule, Some(proxy)));
        }
        let number = |of: Option<Field<Ptr<()>>>, base, inum: Option<Field<UInt>>, first| {
            let (Some(field), Some(_), Some(base)) = (of, inum, base) else {
                return Ok(None);
            };
            numbered(reader, reader.object(Some(field), base)?, inum, first)
        };
        let pid = match numbers.own_pid(reader, task) {
            Ok((_, namespace)) if self.pids.inum.is_some() => {
                numbered(reader, namespace, self.pids.inum, 0xefff_fffc)?
            }
            Err(absent) if absent.is_loss() => return Err(absent),
            Ok(_) | Err(_) => None,
        };
        Ok(Namespaces {
            cgroup: number(self.proxy.cgroup_ns, proxy, self.cgroups.inum, 0xefff_fffb)?,
            ipc: number(self.proxy.ipc_ns, proxy, self.ipc.inum, 0xefff_ffff)?,
            mnt: number(self.proxy.mnt_ns, proxy, self.mnt.inum, 0xefff_fff8)?,
            net: number(self.proxy.net_ns, proxy, self.net.inum, netns::FIRST)?,
            pid,
            time: number(self.proxy.time_ns, proxy, self.clocks.inum, 0xefff_fffa)?,
            user: number(
                reader.cred.user_ns,
                Some(cred.clone()?),
                self.users.inum,
                0xefff_fffd,
            )?,
            uts: number(self.proxy.uts_ns, proxy, self.uts.inum, 0xefff_fffe)?,
        })
    }
}
