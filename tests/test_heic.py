"HEIC, the format of many phones: read where pillow-heif is installed. Without it these tests are skipped, and the notebook `pictures/photos` checks what is said."
import numpy as np
import pytest
from PIL import Image

heif = pytest.importorskip('pillow_heif')


@pytest.fixture
def phone(tmp_path):
    "Writes a HEIC file: the left half dark, the right half in the codes (200, 60, 60)"
    def write(name, **options):
        codes = np.full((96, 128, 3), (200, 60, 60), np.uint8)
        codes[:, :64] = 30
        heif.from_pillow(Image.fromarray(codes)).save(tmp_path/name, quality=-1, chroma=444, **options)
        return tmp_path/name
    return write


def test_read_and_written_back(phone, tmp_path):
    from wall_inpainting import read_photo
    from wall_inpainting.pictures.photos import make_profile, write_image
    p3 = make_profile((.680, .320, .265, .690, .150, .060), (2.4, 1/1.055, .055/1.055, 1/12.92, .04045), name='Display P3')
    exif = Image.Exif()
    exif[0x010f] = 'A phone'
    photo = read_photo(phone('a.heic', icc_profile=p3, exif=exif.tobytes()))
    assert photo.image.size == (128, 96) and photo.icc == p3
    assert np.abs(np.subtract(photo.image.getpixel((100, 50)), (200, 60, 60))).max() <= 2
    back = read_photo(write_image(photo.image, tmp_path/'back.jpg', photo))
    assert back.icc == p3 and b'A phone' in back.exif


@pytest.mark.parametrize('orientation, dark', [(1, (20, 48)), (3, (108, 48)), (6, (48, 20)), (8, (48, 108))])
def test_turned_once(phone, orientation, dark):
    "The decoder turns the picture, and the EXIF data says so: it must not be turned twice"
    from wall_inpainting import read_photo
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = read_photo(phone('turned.heic', exif=exif.tobytes()))
    assert photo.image.size == ((128, 96) if orientation < 5 else (96, 128))
    assert max(photo.image.getpixel(dark)) < 60 and photo.orientation == 1


def test_damaged(phone, tmp_path):
    from wall_inpainting.pictures.photos import PhotoError, read_photo
    (tmp_path/'cut.heic').write_bytes(phone('whole.heic').read_bytes()[:300])
    with pytest.raises(PhotoError, match='cut.heic'): read_photo(tmp_path/'cut.heic')
