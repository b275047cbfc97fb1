//! Reading and writing RLP, strictly: canonical lengths, nothing left over.

/// Why bytes are no RLP, in words.
pub type Reason = &'static str;

/// One item: a byte string or the payload of a list.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    Bytes(&'a [u8]),
    List(&'a [u8]),
}

/// Reads items one after the other.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// The payload of the list that `data` is, and nothing else.
    pub fn list(data: &'a [u8]) -> Result<Self, Reason> {
        let mut reader = Self::new(data);
        match reader.item()? {
            Item::List(payload) if reader.rest.is_empty() => Ok(Self::new(payload)),
            Item::List(_) => Err("trailing bytes"),
            Item::Bytes(_) => Err("expected a list"),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn item(&mut self) -> Result<Item<'a>, Reason> {
        let first = *self.rest.first().ok_or("too few items")?;
        let (is_list, start, length) = match first {
            0..0x80 => (false, 0, 1),
            0x80..=0xb7 => (false, 1, usize::from(first - 0x80)),
            0xb8..=0xbf => self.long(false, usize::from(first - 0xb7))?,
            0xc0..=0xf7 => (true, 1, usize::from(first - 0xc0)),
            0xf8..=0xff => self.long(true, usize::from(first - 0xf7))?,
        };
        let payload = self.rest.get(start..start + length).ok_or("too short")?;
        if first == 0x81 && payload[0] < 0x80 {
            return Err("a single byte below 0x80 is its own encoding");
        }
        self.rest = &self.rest[start + length..];
        Ok(if is_list { Item::List(payload) } else { Item::Bytes(payload) })
    }

    fn long(&self, is_list: bool, size: usize) -> Result<(bool, usize, usize), Reason> {
        let digits = self.rest.get(1..1 + size).ok_or("too short")?;
        if digits[0] == 0 || size > 4 {
            return Err("length is not canonical");
        }
        let length = digits.iter().fold(0usize, |length, digit| length << 8 | usize::from(*digit));
        if length < 56 { Err("length is not canonical") } else { Ok((is_list, 1 + size, length)) }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Reason> {
        match self.item()? {
            Item::Bytes(bytes) => Ok(bytes),
            Item::List(_) => Err("expected bytes"),
        }
    }

    pub fn sublist(&mut self) -> Result<Self, Reason> {
        match self.item()? {
            Item::List(payload) => Ok(Self::new(payload)),
            Item::Bytes(_) => Err("expected a list"),
        }
    }

    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        self.bytes()?.try_into().map_err(|_| "wrong length")
    }

    /// The bytes of a big-endian number, as many as there are.
    pub fn digits(&mut self) -> Result<&'a [u8], Reason> {
        let digits = self.bytes()?;
        if digits.first() == Some(&0) { Err("non-canonical integer (leading zero bytes)") } else { Ok(digits) }
    }

    /// A big-endian number of at most 32 bytes.
    pub fn uint(&mut self) -> Result<revm::primitives::U256, Reason> {
        revm::primitives::U256::try_from_be_slice(self.digits()?).ok_or("out of range")
    }

    pub fn u64(&mut self) -> Result<u64, Reason> {
        u64::try_from(self.uint()?).map_err(|_| "out of range")
    }
}

/// Appends a byte string.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() == 1 && bytes[0] < 0x80 {
        out.push(bytes[0]);
    } else {
        put_header(out, 0x80, bytes.len());
        out.extend_from_slice(bytes);
    }
}

/// Appends a number.
pub fn put_uint(out: &mut Vec<u8>, value: revm::primitives::U256) {
    let bytes: [u8; 32] = value.to_be_bytes();
    put_bytes(out, &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(32)..]);
}

pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    put_bytes(out, &bytes[value.leading_zeros() as usize / 8..]);
}

/// Appends a list with this payload.
pub fn put_list(out: &mut Vec<u8>, payload: &[u8]) {
    put_header(out, 0xc0, payload.len());
    out.extend_from_slice(payload);
}

/// Appends the header of a byte string (0x80) or a list (0xc0) of `length` bytes.
pub fn put_header(out: &mut Vec<u8>, base: u8, length: usize) {
    if length < 56 {
        out.push(base + length as u8);
    } else {
        let digits = length.to_be_bytes();
        let skip = length.leading_zeros() as usize / 8;
        out.push(base + 55 + (8 - skip) as u8);
        out.extend_from_slice(&digits[skip..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::primitives::U256;

    #[test]
    fn refuses_what_is_not_canonical() {
        for bad in [&[0x81, 0x01][..], &[0xb8, 0x01, 0x00], &[0x82, 0x01], &[0xc2, 0x01]] {
            assert!(Reader::new(bad).item().is_err(), "{bad:?}");
        }
        assert!(Reader::new(&[0x82, 0x00, 0x01]).uint().is_err());
        assert!(Reader::list(&[0xc0, 0x00]).is_err());
    }

    #[test]
    fn writes_what_it_reads() {
        let mut out = Vec::new();
        put_uint(&mut out, U256::from(0x1234));
        put_u64(&mut out, 0);
        put_bytes(&mut out, &[9; 60]);
        let mut list = Vec::new();
        put_list(&mut list, &out);
        let mut reader = Reader::list(&list).unwrap();
        assert_eq!(reader.u64(), Ok(0x1234));
        assert_eq!(reader.u64(), Ok(0));
        assert_eq!(reader.bytes(), Ok(&[9u8; 60][..]));
        assert!(reader.is_empty());
    }
}
