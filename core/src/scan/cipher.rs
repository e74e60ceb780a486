//! Ciphers of protected documents, whole contents at a time. The mathematics are RustCrypto's.

use aes::cipher::consts::U16;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use rc4::{Rc4, StreamCipher};

/// Octets of a block of AES.
pub(super) const BLOCK_BYTES: usize = 16;

/// AES of whole blocks undone: chained behind `iv`, or each by itself. `None`: no key of AES.
pub(super) fn aes_undone(key: &[u8], iv: Option<&[u8]>, data: &[u8]) -> Option<Vec<u8>> {
    fn run<C: BlockCipherDecrypt<BlockSize = U16>>(
        cipher: &C,
        iv: Option<&[u8]>,
        data: &[u8],
    ) -> Vec<u8> {
        let mut before = [0x36_u8; BLOCK_BYTES];
        before.iter_mut().zip(iv.unwrap_or_default()).for_each(|(to, from)| *to = *from);
        let mut out = Vec::with_capacity(data.len());
        for chunk in data.chunks_exact(BLOCK_BYTES) {
            let mut block = Array::from([0_u8; BLOCK_BYTES]);
            block.copy_from_slice(chunk);
            cipher.decrypt_block(&mut block);
            if iv.is_some() {
                block.iter_mut().zip(before).for_each(|(octet, other)| *octet ^= other);
                before.copy_from_slice(chunk);
            }
            out.extend_from_slice(&block);
        }
        out
    }
    Some(match key.len() {
        16 => run(&aes::Aes128::new_from_slice(key).ok()?, iv, data),
        24 => run(&aes::Aes192::new_from_slice(key).ok()?, iv, data),
        32 => run(&aes::Aes256::new_from_slice(key).ok()?, iv, data),
        _ => return None,
    })
}

/// AES-128 of whole blocks, chained behind `iv`. `None`: no key of it.
pub(super) fn aes_done(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let cipher = aes::Aes128::new_from_slice(key).ok()?;
    let mut block = Array::from([0_u8; BLOCK_BYTES]);
    block.iter_mut().zip(iv).for_each(|(to, from)| *to = *from);
    let mut out = Vec::with_capacity(data.len());
    for chunk in data.chunks_exact(BLOCK_BYTES) {
        block.iter_mut().zip(chunk).for_each(|(octet, other)| *octet ^= other);
        cipher.encrypt_block(&mut block);
        out.extend_from_slice(&block);
    }
    Some(out)
}

/// RC4, which undoes itself. `None`: no key, or one that is too long.
pub(super) fn rc4(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let mut out = data.to_vec();
    Rc4::new_from_slice(key).ok()?.apply_keystream(&mut out);
    Some(out)
}
