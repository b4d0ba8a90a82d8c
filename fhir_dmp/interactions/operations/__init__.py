"""Operations ($name), one module each."""
