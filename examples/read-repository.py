#!/usr/bin/env python3
"""Rebuilds a raw disk from a lazydisk repository in a folder. Written from docs/FORMAT.md alone; needs nothing of lazydisk.

    read-repository.py FOLDER                            lists images and snapshots
    read-repository.py FOLDER IMAGE[@N | :TAG] FILE      writes a sparse file; without @N or :TAG the newest snapshot

Needs Python's standard library; for compressed chunks also the program zstd, or Python 3.14."""
import hashlib, json, os, re, struct, subprocess, sys

def fail(message):
    sys.exit(f'read-repository.py: {message}')

def sha256(data):
    return hashlib.sha256(data).hexdigest()

def document(key):  # section 4
    try:
        text = open(f'{root}/{key}', 'rb').read()
        value = json.loads(text)
    except (OSError, ValueError) as error:
        fail(f'{key} can\'t be read: {error}')
    if value['formatVersion'] != 1 or not set(value.get('requires', [])) <= {'zstd'}:
        fail(f'{key} needs a newer reader than this')
    seal = re.search(rb',\s*"checksum":\s*"([0-9a-f]{64})"\s*\}\s*$', text)
    if 'checksum' in value and (not seal or sha256(text[:seal.start()]) != seal[1].decode()):
        fail(f'{key} is damaged: its checksum is wrong')
    return value

def decompress(data):
    try:
        return subprocess.run(['zstd', '-dcq'], input=data, stdout=subprocess.PIPE).stdout
    except FileNotFoundError:
        try:
            from compression import zstd
            return zstd.decompress(data)
        except ImportError:
            fail('this snapshot is compressed: install the program zstd, or use Python 3.14')

def payload(id, segment, offset, stored, codec):  # section 6; codec 0: none, 1: zstd
    with open(f'{root}/segments/{segment}', 'rb') as file:
        file.seek(offset)
        data = file.read(stored)
    data = decompress(data) if codec == 1 else data
    return data if sha256(data) == id else fail(f'segments/{segment} is damaged: {stored} bytes at {offset} are not {id}')

def chunks(reference, level, first):  # section 5
    node = payload(*reference)
    magic, version, own_level, segments, count = struct.unpack_from('<4sBBHH', node)
    if (magic, version, own_level, len(node)) != (b'LDTN', 1, level, 44 + 16 * segments + 42 * count):
        fail(f'the tree node {reference[0]} is not one of level {level}')
    names = [node[at:at + 16].hex() for at in range(44, 44 + 16 * segments, 16)]
    present = (i for i in range(256) if node[12 + i // 8] >> i % 8 & 1)
    for i, (id, offset, stored, segment, codec) in zip(present, struct.iter_unpack('<32sIIBB', node[44 + 16 * segments:])):
        child = id.hex(), names[segment], offset, stored, codec
        if level == 0:
            yield first + i, payload(*child)
        else:
            yield from chunks(child, level - 1, first + i * 256 ** level)

def numbers(image):  # section 3
    folder = f'{root}/images/{image}/snapshots'
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(int(name[:8]) for name in names if re.fullmatch(r'\d{8}\.json', name) and not deleted(image, int(name[:8])))

def deleted(image, number):  # section 3
    record, tombstone = (f'{root}/images/{image}/{kind}/{number:08}.json' for kind in ('snapshots', 'deleted'))
    return os.path.exists(tombstone) and not (os.path.exists(record) and os.path.getsize(record))

def export(name, target):  # section 7
    image, number, tag = re.fullmatch(r'([^@:/]+)(?:@(\d+)|:([^@:/]+))?', name).groups()
    if tag is not None:
        number = document(f'images/{image}/tags/{tag}.json')['number']
    number = int(number or max(numbers(image), default=0))
    if deleted(image, number):
        fail(f'{image}@{number} was deleted')
    record = document(f'images/{image}/snapshots/{number:08}.json')
    size, chunk_size, place = record['sizeBytes'], record['chunkSizeBytes'], record['root']
    level = 0
    while 256 ** (level + 1) * chunk_size < size:
        level += 1
    with open(target, 'wb') as file:
        file.truncate(size)
        if place is not None:
            codec = ['none', 'zstd'].index(place['codec'])
            root_node = place['id'], place['segment'], place['offsetBytes'], place['storedBytes'], codec
            for chunk, data in chunks(root_node, level, 0):
                file.seek(chunk * chunk_size)
                file.write(data[:size - chunk * chunk_size])
    print(f"{image}@{record['number']}: {size} bytes, {record['allocatedBytes']} allocated")

if len(sys.argv) not in (2, 4) or not re.fullmatch(r'([^@:/]+)(@\d+|:[^@:/]+)?', (sys.argv + ['x'])[2]):
    sys.exit(__doc__)
root = sys.argv[1]
document('lazydisk.json')
if len(sys.argv) == 4:
    export(*sys.argv[2:])
else:
    for image in sorted(os.listdir(f'{root}/images')):
        print(image, *(f'@{number}' for number in numbers(image)))
