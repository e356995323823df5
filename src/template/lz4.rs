//! The kernel inside its boot image: an emulated processor needs 0.4 s to unpack what we unpack in 0.1 s, once.
//!
//! Handles the compression that Debian uses for x86 (LZ4, "legacy" frames). For every other image the answer is
//! `None`, and the machine boots the image as it is. The bytes come from a signed package; every length is
//! checked all the same.
//!
//! Sources: Linux `Documentation/arch/x86/boot.rst` (`setup_sects`, `payload_offset`, `payload_length`);
//! the LZ4 block format description.

/// A kernel of this size would be no distribution's.
const LARGEST: usize = 256 << 20;
const LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// What one legacy block unpacks to, at most.
const BLOCK: usize = 8 << 20;

/// The ELF kernel inside a bzImage, when it is LZ4 and can be entered directly (`XEN_ELFNOTE_PHYS32_ENTRY`).
#[must_use]
pub fn unpack_kernel(image: &[u8]) -> Option<Vec<u8>> {
    let kernel = unpack_legacy(payload(image)?)?;
    (kernel.starts_with(b"\x7fELF") && has_pvh_entry(&kernel)).then_some(kernel)
}

/// The compressed part of a bzImage, without the length that the kernel's build appends.
fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup_sectors + 1) * 512 + number(image, 0x248)?;
    let end = start.checked_add(number(image, 0x24c)?)?.checked_sub(4)?;
    image.get(start..end)
}

/// Looks for the note's header: name size 4, descriptor size 8, type 18, name `Xen`.
fn has_pvh_entry(kernel: &[u8]) -> bool {
    const HEADER: [u8; 16] = [4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0, b'X', b'e', b'n', 0];
    const HEADER_32: [u8; 16] = [4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0, b'X', b'e', b'n', 0];
    kernel.chunks_exact(4).zip(0..).any(|(word, index)| {
        word == [4, 0, 0, 0]
            && kernel
                .get(index * 4..index * 4 + 16)
                .is_some_and(|found| found == HEADER || found == HEADER_32)
    })
}

fn unpack_legacy(packed: &[u8]) -> Option<Vec<u8>> {
    let mut rest = packed.strip_prefix(&LEGACY_MAGIC)?;
    let mut out = Vec::with_capacity(packed.len().saturating_mul(4).min(LARGEST));
    while !rest.is_empty() {
        let length = number(rest, 0)?;
        let block = rest.get(4..4usize.checked_add(length)?)?;
        unpack_block(block, &mut out)?;
        rest = &rest[4 + length..];
    }
    Some(out)
}

/// One block; matches may not reach before its start.
fn unpack_block(mut block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    while let Some((&token, rest)) = block.split_first() {
        block = rest;
        let literals = length(usize::from(token >> 4), &mut block)?;
        out.extend_from_slice(block.get(..literals)?);
        block = &block[literals..];
        if block.is_empty() {
            break;
        }
        let distance = usize::from(u16::from_le_bytes(block.get(..2)?.try_into().ok()?));
        block = &block[2..];
        let count = length(usize::from(token & 15), &mut block)?.checked_add(4)?;
        let from = out.len().checked_sub(distance).filter(|from| distance > 0 && *from >= start)?;
        if out.len() - start + count > BLOCK || out.len() + count > LARGEST {
            return None;
        }
        repeat(out, from, count);
    }
    (out.len() - start <= BLOCK && out.len() <= LARGEST).then_some(())
}

/// Copies `count` bytes from `from` to the end; what is copied may be what was just written.
fn repeat(out: &mut Vec<u8>, from: usize, count: usize) {
    let mut left = count;
    while left > 0 {
        let run = left.min(out.len() - from);
        out.extend_from_within(from..from + run);
        left -= run;
    }
}

/// A length of four bits, continued by bytes as long as they are 255.
fn length(nibble: usize, block: &mut &[u8]) -> Option<usize> {
    let mut total = nibble;
    if nibble == 15 {
        loop {
            let (&byte, rest) = block.split_first()?;
            *block = rest;
            total = total.checked_add(usize::from(byte))?;
            if byte != 255 {
                break;
            }
        }
    }
    Some(total)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(word)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(block: &[u8]) -> Vec<u8> {
        let mut frame = LEGACY_MAGIC.to_vec();
        frame.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        frame.extend(block);
        frame
    }

    #[test]
    fn literals_and_overlapping_matches_unpack() {
        // "ab", then 10 bytes from two back, then the last literals "!".
        let block = [0x26, b'a', b'b', 2, 0, 0x10, b'!'];
        assert_eq!(unpack_legacy(&framed(&block)).unwrap(), b"abababababab!");
        // Twenty literals: 15 + 5.
        let mut long = vec![0xf0, 5];
        long.extend([b'x'; 20]);
        assert_eq!(unpack_legacy(&framed(&long)).unwrap(), [b'x'; 20]);
    }

    #[test]
    fn a_match_that_reaches_before_the_block_is_refused() {
        assert_eq!(unpack_legacy(&framed(&[0x10, b'a', 2, 0, 0x00])), None);
        assert_eq!(unpack_legacy(&framed(&[0x10, b'a', 0, 0, 0x00])), None);
        // A block that says it is longer than it is.
        assert_eq!(unpack_legacy(&[0x02, 0x21, 0x4c, 0x18, 9, 0, 0, 0, 1]), None);
    }

    #[test]
    fn an_image_is_taken_apart() {
        let mut elf = b"\x7fELF".to_vec();
        elf.extend([4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0, b'X', b'e', b'n', 0]);
        let mut block = vec![0xf0, u8::try_from(elf.len() - 15).unwrap()];
        block.extend(&elf);
        let mut packed = framed(&block);
        packed.extend([0; 4]);
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x24c..0x250].copy_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        image.extend(&packed);
        assert_eq!(unpack_kernel(&image).unwrap(), elf);
        // Without the entry note it cannot be entered: keep the image.
        *image.last_mut().unwrap() = 0;
        let at = image.len() - 8;
        image[at] = b'Y';
        assert_eq!(unpack_kernel(&image), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = unpack_legacy(&framed(&bytes));
            let _ = unpack_kernel(&bytes);
        }
    }
}
