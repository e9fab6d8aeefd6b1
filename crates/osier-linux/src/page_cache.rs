//! The pages of files that the kernel keeps: `address_space.i_pages`, and `page_tree` before Linux commit
//! b93b016313b3 ("page cache: use `xa_lock`"), v4.17. Trees of kernels before v4.5, whose nodes have a height
//! and no shift, are not read.

use osier_memory::{Cause, Fault, PAGE_BYTES, PhysAddr, Store, VirtAddr};
use osier_osi::{Absent, Behind, CachedFile, Seen, Stretch};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::constants;
use crate::frames;
use crate::guest::Guest;
use crate::inode::Inodes;
use crate::layouts::files::{Inode, Page};
use crate::radix::{Node, Slot};

layout! {
    /// Fields read from `address_space`.
    pub(crate) struct AddressSpace: "address_space" through [radix_tree_root xarray] {
        /// The inode whose pages these are.
        host: Option<Field<Ptr<()>>>,
        /// The root entry of the tree of pages.
        head: Option<Field<Ptr<()>>> = ["i_pages.xa_head", "i_pages.rnode", "page_tree.rnode"],
        /// How many pages the tree has.
        nrpages: Option<Field<UInt>>,
        /// The tree of the mappings of the file; it begins with a pointer to its top.
        i_mmap: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `vdso_image`.
    pub(crate) struct VdsoImage: "vdso_image" {
        /// The image in the kernel's memory.
        data: Option<Field<Ptr<()>>>,
        /// Bytes of it.
        image_bytes: Option<Field<UInt>> = ["size"],
    }
}

/// The highest bit of a page frame's number that any x86 processor has.
const FRAME_BITS: u32 = 40;
/// No file is longer: `MAX_LFS_FILESIZE`.
const LONGEST: u64 = i64::MAX as u64;

/// How to find pages of files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageCache {
    space: AddressSpace,
    inode: Inode,
    page: Page,
    pub(crate) vdso: VdsoImage,
    node: Option<Node>,
    inodes: Inodes,
    /// The bit of `page.flags` that says that the page holds what the file does.
    uptodate: Option<u32>,
}

impl PageCache {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let word = u64::from(resolver.profile().identity().pointer_bytes);
        let uptodate = resolver.constant(&[constants::PG_uptodate]);
        Self {
            space: AddressSpace::resolve(resolver),
            inode: Inode::resolve(resolver),
            page: Page::resolve(resolver),
            vdso: VdsoImage::resolve(resolver),
            node: Node::resolve(resolver, word),
            inodes: Inodes::resolve(resolver),
            uptodate: uptodate.and_then(|bit| u32::try_from(bit).ok()),
        }
    }

    /// The file whose pages `mapping`, a `struct address_space`, leads to.
    pub(crate) fn file(&self, guest: &Guest, mapping: VirtAddr) -> CachedFile {
        CachedFile {
            mapping,
            size: self.size(guest, mapping),
        }
    }

    fn host(&self, guest: &Guest, mapping: VirtAddr) -> Seen<VirtAddr> {
        let field = self.space.host.ok_or_else(Absent::not_in_this_kernel)?;
        let host = field.read(&guest.space, mapping)?;
        if guest.can_be_object(host) {
            return Ok(host);
        }
        let rule = "pages are of an inode, an aligned address of the kernel (host)";
        Err(Absent::implausible(
            host.0,
            rule,
            Some(field.place(mapping)),
        ))
    }

    fn size(&self, guest: &Guest, mapping: VirtAddr) -> Seen<u64> {
        let field = self.inode.i_size.ok_or_else(Absent::not_in_this_kernel)?;
        let host = self.host(guest, mapping)?;
        let size = field.read(&guest.space, host)?;
        if size > LONGEST {
            let rule = "a file's length is not negative (i_size)";
            return Err(Absent::implausible(size, rule, Some(field.place(host))));
        }
        Ok(size)
    }

    /// Whether the files of the file system of `mapping` are nowhere but in memory: what is not there was
    /// never written, and reads as zeros.
    fn is_memory(&self, guest: &Guest, mapping: VirtAddr) -> bool {
        let name = || {
            let host = self.host(guest, mapping).ok()?;
            let super_block = self.inodes.super_block(guest, host).ok()?;
            self.inodes.system_name(guest, super_block).ok()?
        };
        is_memory(&name().unwrap_or_default())
    }

    /// How many pages the tree of `mapping` has, which it counts as well, and one past the index of the last.
    /// `steps` are those that may be taken.
    pub(crate) fn count(
        &self,
        guest: &Guest,
        mapping: VirtAddr,
        steps: &mut u64,
    ) -> Seen<(u64, u64)> {
        let field = self.space.nrpages;
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let counted = field.read(&guest.space, mapping)?;
        let (Some(node), Some(head)) = (self.node, self.space.head) else {
            return Ok((counted, 0));
        };
        let (mut found, mut end) = (0_u64, 0_u64);
        let mut index = 0_u64;
        loop {
            *steps = steps.saturating_sub(1);
            if *steps == 0 {
                let rule = "all files have fewer pages together than any machine has memory";
                return Err(Absent::implausible(
                    counted,
                    rule,
                    Some(field.place(mapping)),
                ));
            }
            let met = node.find(guest, head.place(mapping), index)?;
            if let Slot::Entry(_) = met.slot {
                found = found.saturating_add(met.count);
                end = index.saturating_add(met.count);
            }
            let Some(next) = index.checked_add(met.count) else {
                break;
            };
            index = next;
        }
        if found != counted {
            return miscounted(counted, field.place(mapping));
        }
        Ok((found, end))
    }

    /// Holds a tree without nodes against its count: what is not there is no page of a file that is nowhere but in memory.
    fn counted_without_nodes(
        &self,
        guest: &Guest,
        node: Node,
        head: VirtAddr,
        mapping: VirtAddr,
    ) -> Seen<()> {
        let Some((found, field)) = node.without_nodes(guest, head)?.zip(self.space.nrpages) else {
            return Ok(());
        };
        let counted = field.read(&guest.space, mapping)?;
        if counted != found {
            return miscounted(counted, field.place(mapping));
        }
        Ok(())
    }

    /// The inode whose own pages those of `mapping` are.
    pub(crate) fn owner(&self, guest: &Guest, mapping: VirtAddr) -> Seen<VirtAddr> {
        self.host(guest, mapping)
    }

    /// What the kernel keeps of `file` from byte `at`, a multiple of a page, on, for at most `most` bytes.
    pub(crate) fn cached(&self, guest: &Guest, file: &CachedFile, at: u64, most: u64) -> Stretch {
        let all = most.max(PAGE_BYTES);
        let mut bytes = all;
        let what = self.page(guest, file, at, &mut bytes);
        let whole = bytes.min(all) & !PAGE_BYTES.wrapping_sub(1);
        Stretch {
            what,
            bytes: whole.max(PAGE_BYTES),
        }
    }

    fn page(&self, guest: &Guest, file: &CachedFile, at: u64, bytes: &mut u64) -> Seen<Behind> {
        if let Ok(size) = file.size {
            if at >= size {
                return self.past(guest, file, at, size);
            }
            let left = size.wrapping_sub(at);
            *bytes = (*bytes).min(left.checked_next_multiple_of(PAGE_BYTES).unwrap_or(left));
        }
        let (Some(node), Some(head)) = (self.node, self.space.head) else {
            return Err(Absent::not_in_this_kernel());
        };
        let index = at / PAGE_BYTES;
        self.counted_without_nodes(guest, node, head.place(file.mapping), file.mapping)?;
        // What cannot be read of a tree says nothing of the pages beside this one.
        let met = node.find(guest, head.place(file.mapping), index);
        let met = met.inspect_err(|_| *bytes = PAGE_BYTES)?;
        *bytes = (*bytes).min(met.count.saturating_mul(PAGE_BYTES));
        match met.slot {
            Slot::Empty if self.is_memory(guest, file.mapping) => {
                // Without a length it is not known whether the file reaches there.
                file.size.clone().map(|_| Behind::Zeros)
            }
            Slot::Empty => elsewhere(0, Store::MappedFile),
            Slot::Value(entry) if self.is_memory(guest, file.mapping) => {
                elsewhere(entry, Store::Swap)
            }
            Slot::Value(entry) => elsewhere(entry, Store::MappedFile),
            Slot::Entry(page) => {
                *bytes = PAGE_BYTES;
                self.frame_of(guest, file, page, index).map(Behind::Frame)
            }
        }
    }

    /// That nothing stands behind the end of `file`, unless the kernel keeps a page of it there. Of tmpfs such pages may
    /// be promised (`FALLOC_FL_KEEP_SIZE`), but hardly of an empty file that somebody maps.
    fn past(&self, guest: &Guest, file: &CachedFile, at: u64, size: u64) -> Seen<Behind> {
        let (Some(node), Some(head)) = (self.node, self.space.head) else {
            return Ok(Behind::Past);
        };
        let met = node.find(guest, head.place(file.mapping), at / PAGE_BYTES);
        let kept = met.is_ok_and(|met| matches!(met.slot, Slot::Entry(_)));
        if kept && (size == 0 || !self.is_memory(guest, file.mapping)) {
            let rule = "no page of a file lies behind its end (i_size)";
            return Err(Absent::implausible(size, rule, Some(file.mapping)));
        }
        Ok(Behind::Past)
    }

    /// The frame of the page `index` of `file`, which the tree says is in the page recorded at `page`.
    fn frame_of(
        &self,
        guest: &Guest,
        file: &CachedFile,
        page: VirtAddr,
        index: u64,
    ) -> Seen<PhysAddr> {
        let space = &guest.space;
        let (Some(flags), Some(mapping), Some(number)) =
            (self.page.flags, self.page.mapping, self.page.index)
        else {
            return Err(Absent::not_in_this_kernel());
        };
        // A part of a large page: the first has all that is known.
        let part = match self.page.head {
            Some(field) => field.read(space, page)?,
            None => 0,
        };
        let first = if part & 1 == 1 {
            VirtAddr(part & !1)
        } else {
            page
        };
        let of = mapping.read(space, first)?;
        if of != file.mapping {
            let rule = "a page in a file's tree is of that file (mapping)";
            return Err(Absent::implausible(of.0, rule, Some(mapping.place(first))));
        }
        let marks = flags.read(space, first)?;
        let uptodate = self.uptodate.and_then(|bit| marks.checked_shr(bit));
        if uptodate.is_some_and(|marks| marks & 1 == 0) {
            let rule =
                "a page that is being read does not hold what the file does yet (PG_uptodate)";
            return Err(Absent::implausible(marks, rule, Some(flags.place(first))));
        }
        let start = number.read(space, first)?;
        let into = index.wrapping_sub(start);
        // The largest page that the kernel keeps of a file is 1 GiB.
        if into >= 1 << 18 {
            let rule = "a page in a file's tree has its number in the file (index)";
            return Err(Absent::implausible(start, rule, Some(number.place(first))));
        }
        let frame = self.frame(guest, first)?;
        Ok(frame.plus(into.wrapping_mul(PAGE_BYTES)))
    }

    /// The frame that the `struct page` at `page` is the record of.
    fn frame(&self, guest: &Guest, page: VirtAddr) -> Seen<PhysAddr> {
        let base = frames::descriptors(guest).map_err(|(what, fault)| match fault {
            Some(fault) => Absent::unreadable(fault),
            None => Absent::implausible(page.0, what, None),
        })?;
        let by = page.since(base);
        let number = by.checked_div(self.page.size);
        let number = number.ok_or_else(Absent::not_in_this_kernel)?;
        if page < base || !by.is_multiple_of(self.page.size) || number >> FRAME_BITS != 0 {
            let rule = "a page's record is one of the array of all (vmemmap_base, mem_map)";
            return Err(Absent::implausible(page.0, rule, None));
        }
        Ok(PhysAddr(number.wrapping_mul(PAGE_BYTES)))
    }

    /// What the page at `offset` of the image at `image`, a `struct vdso_image`, is read from.
    pub(crate) fn of_vdso(&self, guest: &Guest, image: VirtAddr, offset: u64) -> Seen<Behind> {
        let (Some(data), Some(bytes)) = (self.vdso.data, self.vdso.image_bytes) else {
            return Err(Absent::not_in_this_kernel());
        };
        let bytes = bytes.read(&guest.space, image)?;
        if offset >= bytes {
            let rule = "a process maps the whole image of the vDSO (size) and no more";
            return Err(Absent::implausible(bytes, rule, Some(image)));
        }
        let start = data.read(&guest.space, image)?;
        if start.in_page() != 0 || !guest.is_kernel_address(start) {
            let rule = "the image of the vDSO begins with a page of the kernel (data)";
            return Err(Absent::implausible(start.0, rule, Some(data.place(image))));
        }
        Ok(Behind::Frame(guest.space.translate(start.plus(offset))?))
    }
}

/// Whether the files of systems of that type are nowhere but in memory.
pub(crate) fn is_memory(system: &[u8]) -> bool {
    let known: [&[u8]; 4] = [b"tmpfs", b"ramfs", b"rootfs", b"devtmpfs"];
    known.contains(&system)
}

/// That the tree of a file's pages has another number of them than `counted`, which stands at `place`.
fn miscounted<T>(counted: u64, place: VirtAddr) -> Seen<T> {
    let rule = "the tree of a file's pages has as many as it counts (nrpages)";
    Err(Absent::implausible(counted, rule, Some(place)))
}

/// Why a page that exists is not in memory.
fn elsewhere<T>(entry: u64, store: Store) -> Seen<T> {
    Err(Absent::unreadable(Fault::new(Cause::Elsewhere {
        entry,
        store,
    })))
}
