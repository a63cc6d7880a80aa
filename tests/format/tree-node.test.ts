import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { TreeNode } from '../../lib/format/references.js';
import { decodeTreeNode, encodeTreeNode, MAX_NODE_BYTES } from '../../lib/format/tree-node.js';
import { hasCode, LazydiskError } from '../../lib/util/errors.js';
import { mutations, treeNodes } from './examples.js';

const REFERENCE = {
  id: 'ab'.repeat(32),
  segment: '0123456789abcdef0123456789abcdef',
  offsetBytes: 32,
  storedBytes: 65536,
  codec: 'none' as const,
};

function leaf(...entries: TreeNode['entries']): TreeNode {
  return { level: 0, entries };
}

describe('a tree node', () => {
  test('comes back from its bytes as it was', () => {
    fc.assert(
      fc.property(treeNodes, (node) => {
        expect(decodeTreeNode(encodeTreeNode(node), 'node')).toEqual(node);
      }),
      { numRuns: 60 },
    );
  });

  test('has one encoding: what can be decoded encodes to the same bytes', () => {
    fc.assert(
      fc.property(
        treeNodes.chain((node) => mutations(encodeTreeNode(node))),
        (bytes) => {
          let node: TreeNode;
          try {
            node = decodeTreeNode(bytes, 'node');
          } catch (error) {
            expect(hasCode(error, 'DAMAGED', 'UNSUPPORTED')).toBe(true);
            return;
          }
          expect(encodeTreeNode(node).equals(bytes)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('always decodes to 256 entries', () => {
    expect(decodeTreeNode(encodeTreeNode(leaf(null, REFERENCE)), 'node').entries).toHaveLength(256);
  });

  test('is at most MAX_NODE_BYTES long', () => {
    const entries = Array.from({ length: 256 }, (_, index) => ({
      ...REFERENCE,
      segment: index.toString(16).padStart(32, '0'),
    }));
    expect(encodeTreeNode(leaf(...entries))).toHaveLength(MAX_NODE_BYTES);
  });

  test('without entries is never written', () => {
    expect(() => encodeTreeNode(leaf(null))).toThrow(LazydiskError);
  });

  test('of another version is unsupported, and the message names the object', () => {
    const bytes = encodeTreeNode(leaf(REFERENCE));
    bytes[4] = 2;
    expect(() => decodeTreeNode(bytes, 'segments/x at 32')).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringContaining('segments/x at 32') }),
    );
  });

  test('that points beyond the largest segment is damaged', () => {
    const bytes = encodeTreeNode(leaf(REFERENCE));
    bytes.writeUInt32LE(0xffffffff, bytes.length - 42 + 32);
    expect(() => decodeTreeNode(bytes, 'node')).toThrow(expect.objectContaining({ code: 'DAMAGED' }));
  });
});
