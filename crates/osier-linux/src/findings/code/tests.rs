use super::*;

#[test]
fn what_may_jump_far_is_looked_at_closer() {
    // jmp rax, call r11 behind its prefix, jmp [rip+0], push imm / ret, push rax / ret.
    let far: [&[u8]; 5] = [
        &[0xff, 0xe0],
        &[0x41, 0xff, 0xd3],
        &[0xff, 0x25, 0, 0, 0, 0],
        &[0x68, 0, 0x10, 0x20, 0xc0, 0xc3],
        &[0x50, 0xc3],
    ];
    for head in far {
        assert!(may_jump_far(head), "{head:02x?}");
    }
    // push rbp / mov rbp, rsp / pop rbp / ret; call [rax]; a jump to a fixed place.
    let near: [&[u8]; 4] = [
        &[0x55, 0x48, 0x89, 0xe5, 0x5d, 0xc3],
        &[0xff, 0x10],
        &[0xe9, 0, 0, 0, 0],
        &[],
    ];
    for head in near {
        assert!(!may_jump_far(head), "{head:02x?}");
    }
}
