//! A process's control group, and the container that it is of.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};
use osier_profile::{Field, Ptr, Resolver, UInt, layout};

use super::reader::Reader;
use crate::symbols;

/// Most components of a control group's path that are believed.
const MOST_STEPS: usize = 256;
/// `CSS_ONLINE`.
const CSS_ONLINE: u64 = 1 << 1;
/// Digits of a container's id.
const CONTAINER: usize = 64;

layout! {
    /// Fields read from `css_set`.
    pub(crate) struct CssSet: "css_set" {
        /// The group in the default hierarchy.
        dfl_cgrp: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct cgroup`.
    pub(crate) struct Cgroup: "cgroup" through [cgroup_subsys_state] {
        /// Its place.
        kn: Option<Field<Ptr<()>>>,
        /// Whether it is there still.
        flags: Option<Field<UInt>> = ["self.flags"],
    }
}

layout! {
    /// Fields read from `kernfs_node`.
    pub(crate) struct Node: "kernfs_node" {
        /// The node above; null at the root. Linux commit 633488947ef6 ("kernfs: Use RCU to access
        /// `kernfs_node::parent`."), v6.15.
        parent: Option<Field<Ptr<()>>> = ["__parent", "parent"],
        /// Its name.
        name: Option<Field<Ptr<()>>>,
    }
}

/// How to read it.
pub(super) struct Groups {
    css_set: CssSet,
    cgroup: Cgroup,
    node: Node,
}

impl Groups {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            css_set: CssSet::resolve(resolver),
            cgroup: Cgroup::resolve(resolver),
            node: Node::resolve(resolver),
        }
    }

    /// The path of the task's group in the default hierarchy.
    pub(super) fn path(&self, reader: &Reader<'_>, task: VirtAddr) -> Seen<Vec<u8>> {
        let guest = &reader.linux.guest;
        if let Some(visible) = guest.symbol(symbols::cgrp_dfl_visible) {
            let visible = guest.space.read_uint(visible, 1);
            if visible.map_err(Absent::unreadable)? == 0 {
                return Err(Absent::not_applicable(
                    "no hierarchy of version 2 is mounted",
                ));
            }
        }
        let set = reader.object(reader.task.cgroups, task)?;
        let group = reader.object(self.css_set.dfl_cgrp, set)?;
        let mut node = reader.object(self.cgroup.kn, group)?;
        let (Some(parent), Some(name)) = (self.node.parent, self.node.name) else {
            return Err(Absent::not_in_this_kernel());
        };
        let mut names: Vec<Vec<u8>> = Vec::new();
        loop {
            let above = parent
                .read(&guest.space, node)
                .map_err(Absent::unreadable)?;
            if above.is_null() {
                break;
            }
            if names.len() > MOST_STEPS || !guest.can_be_object(above) {
                let rule = "a control group's path reaches the root in 256 steps";
                return Err(Absent::implausible(above.0, rule, Some(parent.place(node))));
            }
            let text = reader.object_text(name, node)?;
            if text.is_empty() || text.contains(&b'/') {
                let rule = "a control group has a name without a slash";
                return Err(Absent::implausible(0, rule, Some(name.place(node))));
            }
            names.push(text);
            node = above;
        }
        let mut path: Vec<u8> = names
            .iter()
            .rev()
            .flat_map(|name| [&b"/"[..], name].concat())
            .collect();
        if path.is_empty() {
            path.push(b'/');
        }
        if reader.value(self.cgroup.flags, group)? & CSS_ONLINE == 0 {
            path.extend_from_slice(b" (deleted)");
        }
        Ok(path)
    }
}

/// The id of a container in the path of its control group: the last run of 64 hexadecimal digits.
pub(super) fn container(path: &[u8]) -> Option<Vec<u8>> {
    path.split(|byte| !byte.is_ascii_hexdigit() || byte.is_ascii_uppercase())
        .rfind(|run| run.len() == CONTAINER)
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::container;

    #[test]
    fn a_container_is_told_by_its_digits() {
        let id = "4f0d1e2c3b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods/besteffort/pod1/cri-containerd-{id}.scope"),
        ] {
            assert_eq!(
                container(path.as_bytes()).as_deref(),
                Some(id.as_bytes()),
                "{path}"
            );
        }
        for path in [
            "/",
            "/user.slice/user-1000.slice",
            &format!("/{id}0"),
            &format!("/{}", &id[1..]),
        ] {
            assert_eq!(container(path.as_bytes()), None, "{path}");
        }
    }
}
