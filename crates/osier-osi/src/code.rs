//! What instructions of x86 processors say, and where they lead: for rules that look at code.
//!
//! The decoder is the crate iced-x86's. Code is a stranger's: whatever bytes there are, decoding ends with them.

use iced_x86::{Decoder, DecoderOptions, FastFormatter, Instruction, Mnemonic, OpKind, Register};
use osier_memory::VirtAddr;

/// Instructions that are shown of a place.
const SHOWN: usize = 12;
/// Values that are kept of a stack.
const STACK: usize = 8;
/// Bytes of the longest instruction.
pub const LONGEST: usize = 15;

/// How wide a processor's addresses are as it carries code out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 32 bits.
    Bits32,
    /// 64 bits.
    Bits64,
}

impl Width {
    /// That of code whose pointers have so many bytes.
    pub const fn of(pointer_bytes: u8) -> Self {
        if pointer_bytes == 4 {
            Self::Bits32
        } else {
            Self::Bits64
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }

    fn address(self, value: u64) -> VirtAddr {
        match self {
            Self::Bits32 => VirtAddr(value & 0xffff_ffff),
            Self::Bits64 => VirtAddr(value),
        }
    }
}

fn decoder(width: Width, at: VirtAddr, bytes: &[u8]) -> Decoder<'_> {
    Decoder::with_ip(width.bits(), bytes, at.0, DecoderOptions::NONE)
}

/// The instructions in `bytes`, which lie at `at`, in Intel's notation with ` / ` between them: at most twelve, and
/// none after the first that cannot be decoded. Empty of bytes that begin with no instruction.
///
/// ```
/// use osier_osi::code::{Width, disassembly};
/// use osier_memory::VirtAddr;
///
/// let text = disassembly(Width::Bits64, VirtAddr(0x1000), &[0x48, 0x31, 0xff, 0x0f, 0x05]);
/// assert_eq!(text, "xor rdi,rdi / syscall");
/// ```
pub fn disassembly(width: Width, at: VirtAddr, bytes: &[u8]) -> String {
    let mut formatter = FastFormatter::new();
    formatter.options_mut().set_use_hex_prefix(true);
    formatter.options_mut().set_uppercase_hex(false);
    let mut text = String::new();
    for instruction in decoder(width, at, bytes).iter().take(SHOWN) {
        if instruction.is_invalid() {
            break;
        }
        if !text.is_empty() {
            text.push_str(" / ");
        }
        formatter.format(&instruction, &mut text);
    }
    text
}

/// What leads away from code: an instruction, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The instruction that jumps, calls or returns.
    pub at: VirtAddr,
    /// Its length in bytes.
    pub len: u64,
    /// Where it leads.
    pub to: VirtAddr,
    /// Where the address stands that it goes by, when it goes by one in memory.
    pub cell: Option<VirtAddr>,
    /// Whether it comes back: a call.
    pub call: bool,
}

/// What is known of registers and of the stack at an instruction.
#[derive(Default)]
struct Values {
    registers: [Option<u64>; 16],
    stack: Vec<Option<u64>>,
}

/// The number of a general register of 32 or 64 bits.
fn number(register: Register) -> Option<usize> {
    let from = |first: Register, last: Register| {
        (first..=last)
            .contains(&register)
            .then(|| (register as usize).wrapping_sub(first as usize))
    };
    from(Register::RAX, Register::R15).or_else(|| from(Register::EAX, Register::R15D))
}

impl Values {
    fn register(&self, register: Register) -> Option<u64> {
        *self.registers.get(number(register)?)?
    }

    fn set(&mut self, register: Register, value: Option<u64>) {
        let slot = number(register).and_then(|number| self.registers.get_mut(number));
        if let Some(slot) = slot {
            *slot = value;
        }
    }

    fn push(&mut self, value: Option<u64>) {
        if self.stack.len() < STACK {
            self.stack.push(value);
        } else {
            self.stack.clear();
        }
    }

    /// The value of an operand that is a register or a number.
    fn operand(&self, instruction: &Instruction, operand: u32) -> Option<u64> {
        match instruction.try_op_kind(operand).ok()? {
            OpKind::Register => self.register(instruction.op_register(operand)),
            _ => instruction.try_immediate(operand).ok(),
        }
    }

    /// Follows an instruction that does not lead away.
    fn follow(&mut self, width: Width, instruction: &Instruction) {
        let first = instruction.try_op_kind(0).ok();
        let register = instruction.op0_register();
        match instruction.mnemonic() {
            Mnemonic::Mov if first == Some(OpKind::Register) => {
                let value = self.operand(instruction, 1);
                self.set(register, value);
            }
            Mnemonic::Mov if first == Some(OpKind::Memory) => self.store(width, instruction),
            Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => {
                self.set(register, Some(instruction.ip_rel_memory_address()));
            }
            Mnemonic::Push => self.push(self.operand(instruction, 0)),
            Mnemonic::Pop => {
                let value = self.stack.pop().flatten();
                self.set(register, value);
            }
            Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Nop => {}
            _ if first == Some(OpKind::Register) => {
                self.set(register, None);
                if matches!(register, Register::RSP | Register::ESP) {
                    self.stack.clear();
                }
            }
            _ => {}
        }
    }

    /// A number that is written to the top of the stack, or over its upper half.
    fn store(&mut self, width: Width, instruction: &Instruction) {
        let on_stack = matches!(instruction.memory_base(), Register::RSP | Register::ESP)
            && instruction.memory_index() == Register::None;
        let value = self.operand(instruction, 1);
        let Some(top) = self.stack.last_mut().filter(|_| on_stack) else {
            return;
        };
        let low = |value: u64| value & 0xffff_ffff;
        *top = match (instruction.memory_displacement64(), width) {
            (4, Width::Bits64) => top
                .zip(value)
                .map(|(top, value)| low(top) | value.wrapping_shl(32)),
            (0, _) => value,
            _ => *top,
        };
    }
}

/// Where the first instructions of `bytes`, which lie at `at`, lead away to, at most `most` of them: the jumps and calls
/// whose target is told by the instructions themselves, by what they put into a register or on the stack, or by a word of
/// memory (`word` reads one). Ends with the first jump, return or byte that is no instruction.
pub fn first_leads(
    width: Width,
    at: VirtAddr,
    bytes: &[u8],
    most: usize,
    word: &dyn Fn(VirtAddr) -> Option<VirtAddr>,
) -> Vec<Lead> {
    let mut known = Values::default();
    let mut leads = Vec::new();
    for instruction in decoder(width, at, bytes).iter().take(most) {
        let mnemonic = instruction.mnemonic();
        let call = mnemonic == Mnemonic::Call;
        let lead = |to, cell| Lead {
            at: VirtAddr(instruction.ip()),
            len: instruction.len() as u64,
            to,
            cell,
            call,
        };
        match mnemonic {
            _ if instruction.is_invalid() => break,
            Mnemonic::Call | Mnemonic::Jmp => {
                let met = match instruction.try_op_kind(0) {
                    Ok(OpKind::NearBranch32 | OpKind::NearBranch64) => {
                        Some(lead(width.address(instruction.near_branch_target()), None))
                    }
                    Ok(OpKind::Register) => known
                        .register(instruction.op0_register())
                        .map(|to| lead(width.address(to), None)),
                    Ok(OpKind::Memory) => cell(width, &instruction).and_then(|cell| {
                        let to = word(cell)?;
                        Some(lead(to, Some(cell)))
                    }),
                    _ => None,
                };
                leads.extend(met);
                if !call {
                    break;
                }
                known = Values::default();
            }
            Mnemonic::Ret => {
                let to = known.stack.last().copied().flatten();
                leads.extend(to.map(|to| lead(width.address(to), None)));
                break;
            }
            Mnemonic::Int3 | Mnemonic::Ud2 | Mnemonic::Hlt => break,
            _ => known.follow(width, &instruction),
        }
    }
    leads
}

/// The place that an operand in memory names by itself, without a register.
fn cell(width: Width, instruction: &Instruction) -> Option<VirtAddr> {
    let segment = !matches!(
        instruction.segment_prefix(),
        Register::None | Register::CS | Register::DS
    );
    if segment || instruction.memory_index() != Register::None {
        return None;
    }
    match instruction.memory_base() {
        Register::RIP | Register::EIP => Some(VirtAddr(instruction.ip_rel_memory_address())),
        Register::None => Some(width.address(instruction.memory_displacement64())),
        _ => None,
    }
}

/// The instruction at `wanted` that jumps or calls to a fixed place, when one begins there: `bytes` are decoded from
/// `at`, where an instruction begins.
pub fn branch_at(width: Width, at: VirtAddr, bytes: &[u8], wanted: VirtAddr) -> Option<Lead> {
    for instruction in &mut decoder(width, at, bytes) {
        if instruction.is_invalid() || instruction.ip() > wanted.0 {
            return None;
        }
        if instruction.ip() != wanted.0 {
            continue;
        }
        return near(width, &instruction);
    }
    None
}

/// The jumps and calls to fixed places among `bytes`, which lie at `at` and begin with an instruction; `None` where zeros
/// stand in the place of one, or what is no instruction.
pub fn branches(width: Width, at: VirtAddr, bytes: &[u8]) -> Option<Vec<Lead>> {
    let mut leads = Vec::new();
    for instruction in &mut decoder(width, at, bytes) {
        let offset = usize::try_from(instruction.ip().wrapping_sub(at.0)).ok()?;
        let zeros = bytes
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(&[0; 2]));
        let complete = offset.checked_add(LONGEST)? <= bytes.len();
        if zeros || instruction.is_invalid() && complete {
            return None;
        }
        leads.extend(near(width, &instruction));
    }
    Some(leads)
}

/// Where an instruction leads that jumps or calls to a fixed place.
fn near(width: Width, instruction: &Instruction) -> Option<Lead> {
    let kind = instruction.try_op_kind(0).ok()?;
    let near = matches!(kind, OpKind::NearBranch32 | OpKind::NearBranch64);
    near.then(|| Lead {
        at: VirtAddr(instruction.ip()),
        len: instruction.len() as u64,
        to: width.address(instruction.near_branch_target()),
        cell: None,
        call: instruction.mnemonic() == Mnemonic::Call,
    })
}

/// Whether `bytes` begin with a jump through a register and nothing else: what a thunk against speculation is.
pub fn is_register_jump(width: Width, at: VirtAddr, bytes: &[u8]) -> bool {
    let first = decoder(width, at, bytes).iter().next();
    first.is_some_and(|first| {
        let through = matches!(first.try_op_kind(0), Ok(OpKind::Register));
        through && first.mnemonic() == Mnemonic::Jmp
    })
}

/// What bytes look like that ought to be a function's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Instructions that compilers make.
    Code,
    /// Instructions, among them such as hardly any function of a kernel begins with: a trap, what speaks to devices, what
    /// only old programs have.
    Odd,
    /// Zeros or bytes that are no instruction.
    Nothing,
}

/// What the first instructions of `bytes`, which lie at `at`, look like: at most `most` of them, up to the first that
/// leads away for good.
pub fn looks(width: Width, at: VirtAddr, bytes: &[u8], most: usize) -> Looks {
    let mut looks = Looks::Code;
    for instruction in decoder(width, at, bytes).iter().take(most) {
        let offset = usize::try_from(instruction.ip().wrapping_sub(at.0)).unwrap_or(usize::MAX);
        let rest = bytes.get(offset..).unwrap_or_default();
        let incomplete = rest.len() < LONGEST;
        match (rest, instruction.mnemonic()) {
            ([0, 0, ..], _) => return Looks::Nothing,
            _ if instruction.is_invalid() && incomplete => return looks,
            _ if instruction.is_invalid() => return Looks::Nothing,
            (_, Mnemonic::Int1 | Mnemonic::Int3 | Mnemonic::Ud2) if offset == 0 => {
                return Looks::Odd;
            }
            (
                _,
                Mnemonic::Jmp | Mnemonic::Ret | Mnemonic::Int1 | Mnemonic::Int3 | Mnemonic::Ud2,
            ) => {
                return looks;
            }
            // By the first byte: ins, outs, fwait, lahf and its like, enter, far returns, the coprocessor's, loops, in, out,
            // and on 32 bits decimal arithmetic and segments that are put on the stack.
            (
                [
                    0x6c..=0x6f
                    | 0x9b
                    | 0x9e
                    | 0x9f
                    | 0xc8
                    | 0xca
                    | 0xcb
                    | 0xd4..=0xe7
                    | 0xec..=0xef,
                    ..,
                ],
                _,
            ) => looks = Looks::Odd,
            (
                [
                    0x06
                    | 0x07
                    | 0x0e
                    | 0x16
                    | 0x17
                    | 0x1e
                    | 0x1f
                    | 0x27
                    | 0x2f
                    | 0x37
                    | 0x3f
                    | 0x60..=0x63
                    | 0x9a
                    | 0xc4
                    | 0xc5
                    | 0xce
                    | 0xea,
                    ..,
                ],
                _,
            ) if width == Width::Bits32 => {
                looks = Looks::Odd;
            }
            _ => {}
        }
    }
    looks
}

/// Whether `bytes`, which lie at `at`, are what fills the room between functions: traps, and instructions that do nothing.
pub fn is_padding(width: Width, at: VirtAddr, bytes: &[u8]) -> bool {
    let fills = |one: Instruction| {
        let same = one.op0_register();
        match one.mnemonic() {
            Mnemonic::Nop | Mnemonic::Int3 => true,
            Mnemonic::Lea => {
                one.memory_base() == same
                    && one.memory_index() == Register::None
                    && one.memory_displacement64() == 0
            }
            Mnemonic::Mov => {
                let registers = [0, 1].map(|operand| one.try_op_kind(operand).ok());
                registers == [Some(OpKind::Register); 2] && one.op1_register() == same
            }
            _ => false,
        }
    };
    decoder(width, at, bytes).iter().all(fills)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: VirtAddr = VirtAddr(0xffff_ffff_8100_0000);
    const TO: VirtAddr = VirtAddr(0xffff_ffff_c033_b010);

    fn leads(bytes: &[u8]) -> Vec<VirtAddr> {
        let word = |cell: VirtAddr| (cell == AT.plus(6)).then_some(TO);
        let leads = first_leads(Width::Bits64, AT, bytes, 8, &word);
        leads.iter().map(|lead| lead.to).collect()
    }

    fn with_address(before: &[u8], after: &[u8]) -> Vec<u8> {
        [before, &TO.0.to_le_bytes(), after].concat()
    }

    #[test]
    fn every_way_of_jumping_far_is_followed() {
        let distance = (TO.0.wrapping_sub(AT.0 + 5) as u32).to_le_bytes();
        assert_eq!(leads(&[&[0xe9], &distance[..]].concat()), [TO]);
        assert_eq!(leads(&[&[0xe8], &distance[..], &[0xc3]].concat()), [TO]);
        // mov rax / jmp rax, mov r11 / jmp r11, mov rax / push rax / ret.
        assert_eq!(leads(&with_address(&[0x48, 0xb8], &[0xff, 0xe0])), [TO]);
        assert_eq!(
            leads(&with_address(&[0x49, 0xbb], &[0x41, 0xff, 0xe3])),
            [TO]
        );
        assert_eq!(leads(&with_address(&[0x48, 0xb8], &[0x50, 0xc3])), [TO]);
        // push / ret, push / mov over the upper half / ret.
        let (low, high) = (
            (TO.0 as u32).to_le_bytes(),
            ((TO.0 >> 32) as u32).to_le_bytes(),
        );
        assert_eq!(leads(&[&[0x68], &low[..], &[0xc3]].concat()), [TO]);
        let halves = [
            &[0x68],
            &low[..],
            &[0xc7, 0x44, 0x24, 4],
            &high[..],
            &[0xc3],
        ];
        assert_eq!(leads(&halves.concat()), [TO]);
        // jmp [rip+0].
        assert_eq!(leads(&with_address(&[0xff, 0x25, 0, 0, 0, 0], &[])), [TO]);
    }

    #[test]
    fn what_is_not_known_leads_nowhere() {
        assert!(leads(&[0xff, 0xe0]).is_empty());
        // Another value was put into the register since: mov rax / add rax, 1 / jmp rax.
        let changed = with_address(&[0x48, 0xb8], &[0x48, 0x83, 0xc0, 1, 0xff, 0xe0]);
        assert!(leads(&changed).is_empty());
        // call [rax], call gs:[0], and a byte that is no instruction.
        assert!(leads(&[0xff, 0x10]).is_empty());
        assert!(leads(&[0x65, 0xff, 0x14, 0x25, 0, 0, 0, 0]).is_empty());
        assert!(leads(&[0x06]).is_empty() && leads(&[]).is_empty());
    }

    #[test]
    fn a_branch_counts_where_an_instruction_begins() {
        // mov eax, imm32, whose number has a call's first byte in it; then a call.
        let bytes = [0xb8, 0xe8, 0, 0, 0, 0xe8, 0x10, 0, 0, 0, 0xc3];
        let branch = |at| branch_at(Width::Bits64, AT, &bytes, AT.plus(at));
        assert_eq!(branch(1), None);
        let call = branch(5).unwrap();
        assert_eq!((call.to, call.call), (AT.plus(5 + 5 + 0x10), true));
        assert_eq!(branch(10), None);
    }

    #[test]
    fn branches_to_fixed_places_are_all_met() {
        // cmp eax, 1 / je +0x10 / call +0x20 / jmp rax / int3.
        let bytes = [
            0x83, 0xf8, 1, 0x74, 0x10, 0xe8, 0x20, 0, 0, 0, 0xff, 0xe0, 0xcc,
        ];
        let branches = |bytes: &[u8]| branches(Width::Bits64, AT, bytes);
        let met = branches(&bytes).unwrap();
        let met: Vec<_> = met.iter().map(|lead| (lead.to, lead.call)).collect();
        assert_eq!(met, [(AT.plus(0x15), false), (AT.plus(0x2a), true)]);
        // Zeros, and what is no instruction.
        assert_eq!(branches(&[0x90, 0, 0, 0x90]), None);
        assert_eq!(branches(&[&[0x06][..], &[0x90; 20]].concat()), None);
    }

    #[test]
    fn instructions_are_shown_until_one_is_none() {
        let text = |bytes: &[u8]| disassembly(Width::Bits64, VirtAddr(0x1000), bytes);
        assert_eq!(
            text(&[0x55, 0x48, 0x89, 0xe5, 0xc3]),
            "push rbp / mov rbp,rsp / ret"
        );
        assert_eq!(text(&[0x90, 0x06, 0x90]), "nop");
        let narrow = disassembly(Width::Bits32, VirtAddr(0x1000), &[0x06, 0xcd, 0x80]);
        assert_eq!(narrow, "push es / int 0x80");
        assert_eq!(text(&[0x90; 40]).matches("nop").count(), SHOWN);
    }

    #[test]
    fn a_thunk_is_a_jump_through_a_register() {
        let thunk = |bytes: &[u8]| is_register_jump(Width::Bits64, AT, bytes);
        assert!(thunk(&[0xff, 0xe0, 0xcc]) && thunk(&[0x2e, 0x41, 0xff, 0xe3]));
        assert!(!thunk(&[0xff, 0x20]) && !thunk(&[0xe9, 0, 0, 0, 0]) && !thunk(&[]));
    }

    #[test]
    fn what_is_no_code_is_told_from_what_is() {
        let looks = |bytes: &[u8]| looks(Width::Bits64, AT, bytes, 8);
        // nop / push rbp / mov rbp, rsp / ret, and whatever follows.
        let code = [
            &[0x0f, 0x1f, 0x44, 0, 0, 0x55, 0x48, 0x89, 0xe5, 0xc3][..],
            &[0xff; 16],
        ];
        assert_eq!(looks(&code.concat()), Looks::Code);
        assert_eq!(looks(&[0xff; 32]), Looks::Nothing);
        assert_eq!(looks(&[0; 32]), Looks::Nothing);
        assert_eq!(looks(&[0xcc; 32]), Looks::Odd);
        // in al, dx / ret.
        assert_eq!(looks(&[0xec, 0xc3]), Looks::Odd);
        // The last instruction is cut off.
        assert_eq!(looks(&[0x55, 0x48, 0xb8, 1, 2]), Looks::Code);
    }

    #[test]
    fn padding_does_nothing() {
        let wide = |bytes: &[u8]| is_padding(Width::Bits64, AT, bytes);
        assert!(wide(&[0xcc, 0x0f, 0x1f, 0x44, 0, 0, 0x90, 0xcc]) && wide(&[]));
        assert!(wide(&[0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]));
        assert!(!wide(&[0xcc, 0x89, 0xe5]) && !wide(&[0x90, 0xc3]) && !wide(&[0, 0]));
        // lea esi, [esi+eiz*1+0] / mov esi, esi.
        let narrow = [0x8d, 0xb4, 0x26, 0, 0, 0, 0, 0x89, 0xf6];
        assert!(is_padding(Width::Bits32, AT, &narrow));
        assert!(!is_padding(Width::Bits32, AT, &[0x8d, 0x76, 4]));
    }
}
