"""Looks at each process of a drill that restores or verifies; see tools/proof/drill.

    drill_witness.py PROGRAM END LIVE...

Runs until the file END is there. Fails where such a process has one of the words LIVE, which lead to the live database,
in its arguments, environment, directory or open files, and where it saw no process that restores or none that verifies.
"""

import glob, os, sys, time
program, end, live = os.path.realpath(sys.argv[1]), sys.argv[2], sys.argv[3:]
seen, told = set(), set()
def read(path):
    try:
        return open(path, 'rb').read().decode(errors='replace')
    except OSError:
        return ''
def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ''
while not os.path.exists(end):
    for directory in glob.glob('/proc/[0-9]*'):
        if link(directory + '/exe') != program:
            continue
        arguments = read(directory + '/cmdline').split('\0')
        child = 'restore' in arguments or 'verify' in arguments
        if not child:
            continue
        name = 'restore' if 'restore' in arguments else 'verify'
        texts = {'arguments': ' '.join(arguments), 'environment': read(directory + '/environ'),
                 'directory': link(directory + '/cwd')}
        for descriptor in glob.glob(directory + '/fd/*'):
            texts['file ' + os.path.basename(descriptor)] = link(descriptor)
        if texts['directory']:
            seen.add(name)
        for what, text in texts.items():
            if any(word in text for word in live):
                told.add(f'{name}: {what}: {text}')
    time.sleep(0.002)
print('saw', ' and '.join(sorted(seen)))
assert seen == {'restore', 'verify'}, seen
assert not told, told
