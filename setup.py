"Install `wall_inpainting`; every value comes from settings.ini."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=['='], interpolation=None)
parser.read(here/'settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']


def extra(name: str) -> list[str]:
    return cfg[f'{name}_requirements'].split()


setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=(here/'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author=cfg['author'],
    author_email=cfg['author_email'],
    url=cfg['git_url'],
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=cfg['keywords'],
    classifiers=['Development Status :: 3 - Alpha', 'Intended Audience :: Developers',
                 'Programming Language :: Python :: 3', 'Topic :: Multimedia :: Graphics'],
    packages=find_packages(include=['wall_inpainting', 'wall_inpainting.*']),
    package_data={'wall_inpainting': ['data/**/*', '*.pyi', 'py.typed']},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(),
    extras_require={'dev': extra('dev') + extra('rooms') + extra('studio'), 'rooms': extra('rooms'), 'masks': extra('masks'), 'studio': extra('studio'), 'browser': extra('browser')},
    entry_points={'console_scripts': cfg['console_scripts'].split()},
    zip_safe=False,
)
